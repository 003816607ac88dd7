"""Which moment a crontab names last, on its own wall clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import CrontabSchedule

from exports.schedules import newest_slot

DAY = timedelta(hours=24)


def slot(now: str, zone: str = "UTC", horizon: timedelta = DAY, **crontab: str) -> str | None:
    """The newest slot in UTC, as text."""
    plan = CrontabSchedule(**({"minute": "*", "hour": "*"} | crontab), timezone=zone)
    found = newest_slot(plan, datetime.fromisoformat(now).replace(tzinfo=UTC), horizon)
    return found.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if found else None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-07-15 03:00:00", "2026-07-15 03:00"),
        ("2026-07-15 03:00:59", "2026-07-15 03:00"),
        ("2026-07-15 02:59:59", "2026-07-14 03:00"),
        ("2026-07-15 23:59:00", "2026-07-15 03:00"),
        ("2026-01-01 00:00:00", "2025-12-31 03:00"),
    ],
)
def test_a_daily_slot(now: str, expected: str) -> None:
    assert slot(now, minute="0", hour="3") == expected


def test_every_minute_is_now() -> None:
    assert slot("2026-07-15 12:34:56") == "2026-07-15 12:34"


def test_lists_and_steps() -> None:
    assert slot("2026-07-15 12:34", minute="*/15", hour="8-10,12") == "2026-07-15 12:30"
    assert slot("2026-07-15 11:59", minute="*/15", hour="8-10,12") == "2026-07-15 10:45"


@pytest.mark.parametrize(
    ("day_of_week", "expected"),
    [("1", "2026-07-13"), ("mon", "2026-07-13"), ("0", "2026-07-12"), ("sun", "2026-07-12"), ("3", "2026-07-15")],
)
def test_days_of_the_week(day_of_week: str, expected: str) -> None:
    """15 July 2026 is a Wednesday."""
    week = timedelta(days=7)
    assert slot("2026-07-15 12:00", horizon=week, minute="0", hour="6", day_of_week=day_of_week) == f"{expected} 06:00"


def test_days_of_the_month_and_months() -> None:
    month = timedelta(days=40)
    assert slot("2026-03-15 12:00", horizon=month, minute="0", hour="6", day_of_month="28") == "2026-02-28 06:00"
    assert slot("2026-03-15 12:00", horizon=month, minute="0", hour="6", month_of_year="2") == "2026-02-28 06:00"
    assert slot("2026-03-15 12:00", horizon=month, minute="0", hour="6", day_of_month="30") is None


def test_beyond_the_horizon_there_is_none() -> None:
    assert slot("2026-07-15 15:00", horizon=timedelta(hours=12), minute="0", hour="3") == "2026-07-15 03:00"
    assert slot("2026-07-15 15:01", horizon=timedelta(hours=12), minute="0", hour="3") is None


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        ("2026-07-15 12:00", "Europe/Berlin", "2026-07-15 01:00"),
        ("2026-01-15 12:00", "Europe/Berlin", "2026-01-15 02:00"),
        ("2026-07-15 12:00", "Asia/Tokyo", "2026-07-14 18:00"),
        ("2026-07-15 12:00", "America/New_York", "2026-07-15 07:00"),
    ],
)
def test_the_clock_is_the_crontabs_own(now: str, zone: str, expected: str) -> None:
    assert slot(now, zone, minute="0", hour="3") == expected


def test_a_night_that_lacks_the_hour_skips_it() -> None:
    """29 March 2026 in Berlin goes from 02:00 to 03:00, so that there is no 02:30."""
    assert slot("2026-03-29 12:00", "Europe/Berlin", minute="30", hour="2") is None
    assert slot("2026-03-29 12:00", "Europe/Berlin", DAY * 2, minute="30", hour="2") == "2026-03-28 01:30"


def test_a_night_that_has_the_hour_twice_names_it_twice() -> None:
    """25 October 2026 in Berlin has 02:30 at 00:30 and at 01:30 UTC."""
    assert slot("2026-10-25 01:00", "Europe/Berlin", minute="30", hour="2") == "2026-10-25 00:30"
    assert slot("2026-10-25 12:00", "Europe/Berlin", minute="30", hour="2") == "2026-10-25 01:30"
