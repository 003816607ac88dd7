"""Find the most recent run time of a crontab or interval schedule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django_celery_beat.models import CrontabSchedule, IntervalSchedule

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def newest_interval(interval: IntervalSchedule, now: datetime, horizon: timedelta) -> datetime | None:
    """Return the last whole multiple of the interval since 1970, or None if it is further back than `horizon`."""
    past = (now - EPOCH) % interval.schedule.run_every
    return now - past if past <= horizon else None


def newest_crontab(crontab: CrontabSchedule, now: datetime, horizon: timedelta) -> datetime | None:
    """Return the last run time at or before `now`, to the minute, or None if it is further back than `horizon`.

    Daylight saving time follows Debian's cron: a job with fixed times runs once in the night when the clock changes,
    and a job with `*` in its minutes or hours follows the clock.
    """
    zone = ZoneInfo(str(crontab.timezone))
    plan = crontab.schedule
    fields = [
        _field(crontab.minute, plan.minute),
        _field(crontab.hour, plan.hour),
        _field(crontab.day_of_month, plan.day_of_month),
        _field(crontab.month_of_year, plan.month_of_year),
        "*",  # cron joins days of the month and of the week by "or", Celery by "and"
    ]
    latest = now.replace(second=0, microsecond=0)
    try:
        for moment in CronSim(" ".join(fields), (latest + MINUTE).astimezone(zone), reverse=True):
            if latest - moment > horizon:
                return None
            if moment.isoweekday() % 7 in plan.day_of_week:
                return moment
    except CronSimError:  # a day that no month has
        pass
    return None


def _field(text: str, numbers: Iterable[int]) -> str:
    """Return a field for CronSim: Celery has parsed the numbers, and a leading `*` decides how DST is handled."""
    return text.strip() if text.lstrip().startswith("*") else ",".join(map(str, sorted(numbers)))
