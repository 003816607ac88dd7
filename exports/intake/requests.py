"""Request, cancel, retry and expire an export. Rows are written first; hints are sent after the commit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import DatabaseError, IntegrityError
from django.db.models import Case, F, When
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from durable import clock, log_fields
from durable.clock import Now
from durable.databases import atomic, on_commit
from durable.hints import publish_on_commit
from exports.conf import export_settings
from exports.datasets import RowsDataset, Selection, datasets
from exports.errors import (
    DatabaseAway,
    DatasetFailed,
    Mismatch,
    NotRecorded,
    SpoiltPart,
    StorageFailed,
    WrongState,
    errors_as,
)
from exports.intake.choices import Choice, ExportRequest, choose, choose_period, everything_of
from exports.intake.quota import charge, lock_owner, refuse_too_soon
from exports.models import Export, Part
from exports.models.export import subject_model
from exports.pipeline import announce
from exports.pipeline.window import may_plan_now
from exports.states import PartState, State, sources
from exports.storage import artifacts
from notifications.conf import notification_settings


@dataclass(frozen=True)
class Requested:
    """The export of a request. `existing` is true if the same request was already in flight."""

    export: Export
    existing: bool


def request_export(user: AbstractBaseUser, request: ExportRequest, *, subject: Any = None) -> Requested:
    """Record the request, and send the hint to plan it after the commit.

    `user` owns the export: downloads it, and is notified. `subject` is another user whose data it is: `user` needs the
    permission FOR_OTHERS, and the subject is told. Teams are named in the request.

    If the same request of the same user is in flight, return that export. Raises BadRequest for bad input,
    NoPermission, TooMany, DatasetFailed, and NotRecorded if the database did not confirm the row: then it is safe to
    send the same request again.
    """
    zone = notification_settings().zone_of(user)
    try:
        choice = choose(user, request, subject)
        _require_fit(choice)
        period, frozen = choose_period(choice.datasets, request, zone=zone, now=clock.now())
        return _record(
            Export(
                owner_id=user.pk,
                **_subject(user, choice.owner),
                dataset=",".join(choice.datasets),
                format=choice.format,
                inside=choice.inside,
                has_uploads=bool(choice.inside) and any(datasets.get(key).files for key in choice.datasets),
                fields=choice.fields,
                options=choice.options,
                params=choice.params,
                period_choice=period,
                period_start=frozen.start,
                period_end=frozen.end,
                time_zone=zone.key,
                language=get_language() or "",
                fingerprint=_fingerprint(choice, period, request.date_from, request.date_to),
            )
        )
    except (DatabaseError, DatabaseAway) as error:
        raise NotRecorded from error


def request_everything(user: AbstractBaseUser) -> Requested:
    """Request a bundle of every dataset that `user` may export, in full. Raises what `request_export` raises."""
    return request_export(user, everything_of(user))


def _record(export: Export) -> Requested:
    try:
        return _record_or_find(export)
    except IntegrityError:  # two concurrent clicks: the other one has just committed
        return _record_or_find(export)


def _record_or_find(export: Export) -> Requested:
    with atomic(Export):
        lock_owner(export.owner_id)
        twin = Export.objects.in_flight().filter(owner_id=export.owner_id, fingerprint=export.fingerprint).first()
        if twin is not None:
            return Requested(twin, existing=True)
        charge(export.owner_id, export.zone)
        plan_now = may_plan_now()
        export.published_at = Now() if plan_now else None
        export.save(force_insert=True)
        export.refresh_from_db()
        log_fields.put(export.log_fields())
        announce.on_behalf(export)
        publish_on_commit([export] if plan_now else [])
    return Requested(export, existing=False)


def _subject(user: AbstractBaseUser, owner: Any) -> dict[str, str]:
    """Return the fields that say whose data it is; none if it is the user's own."""
    if owner == user:
        return {}
    return {"subject_model": subject_model(owner), "subject_key": str(owner.pk)}


def _require_fit(choice: Choice) -> None:
    """Raise UnfitDataset for a dataset whose definition would make its export wrong."""
    with errors_as(DatasetFailed):
        for key in choice.datasets:
            dataset = datasets.get(key)
            dataset.require_fit(choice.owner, dataset.choose(choice.fields))
            if not isinstance(dataset, RowsDataset):
                dataset.selected(Selection(choice.owner, params=choice.params))


def _fingerprint(choice: Choice, *period: object) -> str:
    parts = [getattr(choice, each.name) for each in fields(choice) if each.name != "owner"]
    owner = (subject_model(choice.owner), choice.owner.pk)
    return hashlib.sha256(json.dumps([*parts, owner, *period], default=str).encode()).hexdigest()


def cancel_export(export: Export) -> None:
    """Stop an open export. A worker that holds one of its parts can write nothing more. Raises WrongState."""
    sent = Case(When(state=State.QUEUED, then=F("published_at")), default=None)  # its planning message stays queued
    with atomic(Export):
        moved = Export.objects.filter(pk=export.pk).move(
            State.CANCELLED, finished_at=Now(), next_attempt_at=None, lease_until=None, published_at=sent
        )
        if not moved:
            raise WrongState
        export.parts.cancel_waiting()
    export.refresh_from_db()


def retry_export(export: Export, *, by_operator: bool = False) -> None:
    """Retry a failed or cancelled export. Finished parts are kept. Raises WrongState, TooMany.

    It counts as a request of the owner, unless an operator retries: the limits do not apply to operators.
    """
    try:
        with atomic(Export):
            lock_owner(export.owner_id)
            if not by_operator:
                refuse_too_soon(export)
                charge(export.owner_id, export.zone)
            _reopen(export)
    except IntegrityError as error:
        raise WrongState(_("The same export is already under way.")) from error
    export.refresh_from_db()


def _reopen(export: Export) -> None:
    attempts = export_settings().max_attempts
    no_error = {"error_code": "", "error_message": "", "error_detail": ""}
    ended = Export.objects.filter(pk=export.pk, state__in=sources(State.QUEUED))
    sent = ended.plan_sent().exists()  # the planning message from before the cancellation is still valid
    plan_now = not sent and may_plan_now()
    published = F("published_at") if sent else Now() if plan_now else None
    if not ended.reopen(attempts, published_at=published, state=State.QUEUED, finished_at=None, **no_error):
        raise WrongState
    again = [PartState.FAILED, PartState.CANCELLED]
    if export.error_code in (SpoiltPart.code, Mismatch.code, StorageFailed.code):
        again.append(PartState.DONE)  # the broken file may be that of a finished part
    Part.objects.filter(export=export, state__in=again).render_again(attempts, **no_error)
    publish_on_commit([Export.objects.get(pk=export.pk)] if plan_now else [])


def expire_export(export: Export) -> None:
    """Delete the files of a ready export now. Raises WrongState."""
    with atomic(Export):
        keys = Export.objects.filter(pk=export.pk).expire(expires_at=Now())
        if not keys:
            raise WrongState
        on_commit(Export, lambda: artifacts.delete(keys))
    export.refresh_from_db()
