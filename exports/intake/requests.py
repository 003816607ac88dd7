"""The web side of the broker: request, cancel, retry and expire an export. Rows first; hints once committed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Case, F, When
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from durable.publish import publish_on_commit
from exports.conf import export_settings
from exports.datasets import datasets
from exports.errors import (
    DatabaseAway,
    DatasetFailed,
    Mismatch,
    NotRecorded,
    SpoiltPart,
    StorageFailed,
    WrongState,
    blaming,
)
from exports.intake.choices import Choice, ExportRequest, choose, choose_period
from exports.intake.quota import charge, lock_owner, refuse_too_soon
from exports.models import Export, Part
from exports.pipeline.window import may_plan_now
from exports.states import PartState, State, sources
from exports.storage import artifacts


@dataclass(frozen=True)
class Requested:
    """The export that stands for a request; `existing` when the same request was in flight already."""

    export: Export
    existing: bool


def request_export(user: AbstractBaseUser, request: ExportRequest) -> Requested:
    """Record the request, and send the hint to plan it once that has committed.

    The same request of the same user that is still in flight is returned instead of a second one. Raise BadRequest for
    bad input, NoPermission, TooMany, DatasetFailed, and NotRecorded when the database did not confirm the row; sending
    the same request again is safe then.
    """
    zone = export_settings().zone_of(user)
    try:
        choice = choose(user, request)
        _require_fit(choice, user)
        period, frozen = choose_period(choice.datasets, request, zone=zone, now=timezone.now())
        return _record(
            Export(
                owner_id=user.pk,
                dataset=",".join(choice.datasets),
                format=choice.format,
                inside=choice.inside,
                fields=choice.fields,
                options=choice.options,
                period_choice=period,
                period_start=frozen.start,
                period_end=frozen.end,
                time_zone=zone.key,
                language=get_language() or "",
                fingerprint=_fingerprint(*astuple(choice), period, request.date_from, request.date_to),
            )
        )
    except (DatabaseError, DatabaseAway) as error:
        raise NotRecorded from error


def _record(asked: Export) -> Requested:
    try:
        return _record_or_recognise(asked)
    except IntegrityError:  # two clicks at the same moment: the other one has just committed
        return _record_or_recognise(asked)


def _record_or_recognise(asked: Export) -> Requested:
    with transaction.atomic():
        lock_owner(asked.owner_id)
        twin = Export.objects.in_flight().filter(owner_id=asked.owner_id, fingerprint=asked.fingerprint).first()
        if twin is not None:
            return Requested(twin, existing=True)
        charge(asked.owner_id, asked.zone)
        at_once = may_plan_now()
        asked.published_at = Now() if at_once else None
        asked.save(force_insert=True)
        asked.refresh_from_db()
        publish_on_commit([asked] if at_once else [])
    return Requested(asked, existing=False)


def _require_fit(choice: Choice, user: AbstractBaseUser) -> None:
    """Raise UnfitDataset for a dataset that would come out wrong."""
    with blaming(DatasetFailed):
        for key in choice.datasets:
            dataset = datasets.get(key)
            dataset.require_fit(user, dataset.choose(choice.fields))


def _fingerprint(*choice: object) -> str:
    return hashlib.sha256(json.dumps(choice, default=str).encode()).hexdigest()


def cancel_export(export: Export) -> None:
    """Stop an export that is under way; a worker that holds a part of it writes nothing more. Raises WrongState."""
    sent = Case(When(state=State.QUEUED, then=F("published_at")), default=None)  # the message to plan it stays there
    with transaction.atomic():
        moved = Export.objects.filter(pk=export.pk).move(
            State.CANCELLED, finished_at=Now(), next_attempt_at=None, lease_until=None, published_at=sent
        )
        if not moved:
            raise WrongState
        export.parts.call_off()
    export.refresh_from_db()


def retry_export(export: Export, *, by_operator: bool = False) -> None:
    """Try a failed or cancelled export again; finished parts are kept. Raises WrongState, TooMany.

    Counts as a request of its owner, unless an operator does it, who is bound by none of the owner's limits.
    """
    try:
        with transaction.atomic():
            lock_owner(export.owner_id)
            if not by_operator:
                refuse_too_soon(export)
                charge(export.owner_id, export.zone)
            _reopen(export)
    except IntegrityError as error:
        raise WrongState(_("The same export is under way already.")) from error
    export.refresh_from_db()


def _reopen(export: Export) -> None:
    attempts = export_settings().max_attempts
    unsaid = {"error_code": "", "error_message": "", "error_detail": ""}
    ended = Export.objects.filter(pk=export.pk, state__in=sources(State.QUEUED))
    sent = ended.plan_sent().exists()  # the message from before it was cancelled serves as well
    at_once = not sent and may_plan_now()
    told = F("published_at") if sent else Now() if at_once else None
    if not ended.reopen(attempts, published_at=told, state=State.QUEUED, finished_at=None, **unsaid):
        raise WrongState
    again = [PartState.FAILED, PartState.CANCELLED]
    if export.error_code in (SpoiltPart.code, Mismatch.code, StorageFailed.code):
        again.append(PartState.DONE)  # a finished part's file may be what was broken
    Part.objects.filter(export=export, state__in=again).render_again(attempts, **unsaid)
    publish_on_commit([Export.objects.get(pk=export.pk)] if at_once else [])


def expire_export(export: Export) -> None:
    """Take a ready export's files away now. Raises WrongState."""
    with transaction.atomic():
        keys = Export.objects.filter(pk=export.pk).expire(expires_at=Now())
        if not keys:
            raise WrongState
        transaction.on_commit(lambda: artifacts.delete(keys), robust=True)
    export.refresh_from_db()
