"""Which moment of a schedule is the newest one: for crontabs on their own wall clock, and for intervals."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django_celery_beat.models import CrontabSchedule, IntervalSchedule

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest_turn(interval: IntervalSchedule, now: datetime, horizon: timedelta) -> datetime | None:
    """The last whole multiple of an interval, for an operator who chose one in place of the crontab."""
    past = (now - EPOCH) % interval.schedule.run_every
    return now - past if past <= horizon else None


def newest_slot(crontab: CrontabSchedule, now: datetime, horizon: timedelta) -> datetime | None:
    """The last moment at or before `now`, to the minute, that the crontab names; None when it lies beyond `horizon`.

    Walks back in UTC, minute by minute, and looks at each on the crontab's own wall clock. Where that clock is changed
    the rule is cron's. A crontab with fixed hours runs as often as on any other night: a time that comes twice is
    named at its first coming, and one that is left out at the first minute after the gap. A crontab of every hour,
    or of every n-th ("*", "*/6"), goes by the clock as it is.
    """
    zone = ZoneInfo(str(crontab.timezone))
    fixed = not crontab.hour.lstrip().startswith("*")
    plan = crontab.schedule
    moment = now.replace(second=0, microsecond=0)
    local = moment.astimezone(zone)
    for _ in range(int(horizon / MINUTE) + 1):
        earlier = (moment - MINUTE).astimezone(zone)
        if _names(plan, local) and not (fixed and local.fold):
            return moment
        if fixed and any(_names(plan, minute) for minute in _left_out(earlier, local)):
            return moment
        moment, local = moment - MINUTE, earlier
    return None


def _names(plan: Any, local: datetime) -> bool:
    """Whether a crontab, as Celery has parsed it, names this minute of the wall clock."""
    return bool(
        local.minute in plan.minute
        and local.hour in plan.hour
        and local.isoweekday() % 7 in plan.day_of_week
        and local.day in plan.day_of_month
        and local.month in plan.month_of_year
    )


def _left_out(earlier: datetime, local: datetime) -> Iterator[datetime]:
    """The wall clock's minutes between two that follow each other: none, but where the clock is put forward."""
    minute = earlier.replace(tzinfo=None) + MINUTE
    while minute < local.replace(tzinfo=None):
        yield minute
        minute += MINUTE
