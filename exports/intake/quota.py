"""Limits per owner: open exports, requests and retries per hour, and the pause before a retry."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from durable.clock import database_now
from exports.conf import export_settings
from exports.errors import TooMany
from exports.models import Export, OwnerLock, QuotaUse
from exports.states import State, sources

HOUR = timedelta(hours=1)


def lock_owner(owner_pk: Any) -> None:
    """Serialise the requests of an owner, so that the limits hold: by a row lock, or by SQLite's single writer.

    Call it first in the transaction. SQLite then waits for its turn: a transaction that has read before cannot.
    """
    OwnerLock.objects.bulk_create([OwnerLock(owner_id=owner_pk)], ignore_conflicts=True)
    OwnerLock.objects.select_for_update().filter(owner_id=owner_pk).values("pk").first()


def charge(owner_pk: Any, zone: ZoneInfo) -> None:
    """Count one request or retry of this owner. Raises TooMany, with the time in `zone`.

    Call it after `lock_owner`, in the transaction that records the request. Cancelling does not refund it.
    """
    config = export_settings()
    if Export.objects.of(owner_pk).in_flight().count() >= config.max_open_per_user:
        raise TooMany(
            _("You have %(count)s exports under way, which is the limit. Wait for one to end, or cancel one.")
            % {"count": config.max_open_per_user}
        )
    now, mine = database_now(QuotaUse), QuotaUse.objects.filter(owner_id=owner_pk)
    mine.filter(used_at__lte=now - HOUR).delete()
    used = list(mine.order_by("used_at").values_list("used_at", flat=True))
    if len(used) >= config.max_per_hour:
        free = used[len(used) - config.max_per_hour] + HOUR
        words = _("Limit reached (%(count)s per hour). Try again at %(time)s.")
        raise TooMany.until(words % {"count": config.max_per_hour, "time": _minute(free, zone)}, free - now)
    mine.create(owner_id=owner_pk)


def refuse_too_soon(export: Export) -> None:
    """Raise TooMany if the export ended less than `retry_pause` seconds ago."""
    ended = Export.objects.filter(pk=export.pk, state__in=sources(State.QUEUED)).values_list("finished_at", flat=True)
    moment = ended.first()
    if moment is None:
        return
    rest = moment + timedelta(seconds=export_settings().retry_pause) - database_now(QuotaUse)
    if rest > timedelta():
        words = _("This export ended a moment ago. Try again in %(seconds)s s.")
        raise TooMany.until(words % {"seconds": _seconds(rest)}, rest)


def _minute(moment: datetime, zone: ZoneInfo) -> str:
    """Return the next full minute in the owner's time zone, as "22:41"."""
    return date_format((moment + timedelta(seconds=59)).astimezone(zone), "H:i")


def _seconds(rest: timedelta) -> int:
    return ceil(rest.total_seconds())
