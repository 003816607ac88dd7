"""Clocks: the database's, which all machines share, and the local times of sites with USE_TZ=False."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import functions
from django.utils import timezone

from durable.databases import connection_of
from durable.fields import UTCDateTimeField

_QUERIES = {
    "postgresql": "SELECT clock_timestamp() AT TIME ZONE 'UTC'",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


class Now(functions.Now):
    """The current time of the database's clock, in UTC, as a UTCDateTimeField stores it. Do not compare others with it.

    A site's own DateTimeField may hold local times: compare it with `as_stored(database_now(...))`.
    """

    output_field: ClassVar[Any] = UTCDateTimeField()


def database_now(model: type[models.Model]) -> datetime:
    """Return the current time, aware and in UTC, by the clock of the database that the rows of `model` are in."""
    connection = connection_of(model)
    with connection.cursor() as cursor:
        cursor.execute(_QUERIES[connection.vendor])
        (now,) = cursor.fetchone()
    moment = datetime.fromisoformat(now) if isinstance(now, str) else now
    return moment.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the current time of this machine, aware."""
    return aware(timezone.now())


def aware(moment: datetime) -> datetime:
    """Return a date-time of the site's own models as an aware one: if it is naive, it is local to TIME_ZONE."""
    return moment.replace(tzinfo=timezone.get_default_timezone()) if timezone.is_naive(moment) else moment


def bound(moment: datetime | None, connection: BaseDatabaseWrapper) -> datetime | None:
    """Return an aware date-time for a comparison (< or >=) with a DateTimeField of the site's own models.

    Without USE_TZ, only PostgreSQL stores which of two equal local times in autumn a value is. Other databases cannot
    tell them apart, and a value counts as the first: a moment in the second hour is compared as the end of that hour.
    """
    if moment is None or settings.USE_TZ or connection.vendor == "postgresql":
        return moment
    local = as_stored(moment)
    return _end_of_repeated(moment) if local.fold else local


def _end_of_repeated(moment: datetime) -> datetime:
    """Return the naive local time at which the hour ends that `moment` is in for the second time."""
    zone = timezone.get_default_timezone()
    second = moment.astimezone(zone).utcoffset()
    first = moment.astimezone(zone).replace(fold=0).utcoffset()
    assert first is not None
    assert second is not None
    start = moment.astimezone(UTC).replace(microsecond=0) - (first - second)

    def is_second(seconds: int) -> bool:
        return (start + timedelta(seconds=seconds)).astimezone(zone).utcoffset() == second

    change = bisect_left(range((first - second) // timedelta(seconds=1) + 1), True, key=is_second)
    return (start + timedelta(seconds=change) + first).replace(tzinfo=None)


def as_stored(moment: datetime) -> datetime:
    """Return an aware date-time as the site's own models hold it: naive and local to TIME_ZONE if USE_TZ is False."""
    return moment if settings.USE_TZ else moment.astimezone(timezone.get_default_timezone()).replace(tzinfo=None)
