"""Tests of the most recent run time of a crontab, in its own time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import CrontabSchedule

from exports.upkeep.crontab import newest_crontab

DAY = timedelta(hours=24)


def slot(now: str, zone: str = "UTC", horizon: timedelta = DAY, **crontab: str) -> str | None:
    """Return the newest slot in UTC, as text."""
    plan = CrontabSchedule(**({"minute": "*", "hour": "*"} | crontab), timezone=zone)
    found = newest_crontab(plan, datetime.fromisoformat(now).replace(tzinfo=UTC), horizon)
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


def test_a_crontab_of_every_minute_gives_the_current_one() -> None:
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


def test_a_day_of_the_month_and_of_the_week_must_both_match() -> None:
    """As in Celery, unlike in cron. 15 June 2026 is the last Monday before August that is a 15th."""
    year = timedelta(days=366)
    both = {"day_of_month": "15", "day_of_week": "mon"}
    assert slot("2026-08-01 12:00", horizon=year, minute="0", hour="6", **both) == "2026-06-15 06:00"


def test_spellings_that_only_celery_accepts() -> None:
    """A range over the end of the week, with full names, which CronSim does not parse."""
    week = timedelta(days=7)
    assert (
        slot("2026-07-15 12:00", horizon=week, minute="0", hour="6", day_of_week="friday-monday") == "2026-07-13 06:00"
    )


def test_a_slot_beyond_the_horizon_is_not_found() -> None:
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
def test_slots_are_in_the_time_zone_of_the_crontab(now: str, zone: str, expected: str) -> None:
    assert slot(now, zone, minute="0", hour="3") == expected


def newest(now: str, zone: str, **crontab: str) -> list[str | None]:
    """Return the slots, in UTC, of the six hours after `now`."""
    start = datetime.fromisoformat(now)
    moments = [start + timedelta(minutes=minute) for minute in range(0, 6 * 60, 10)]
    seen = [slot(moment.isoformat(" "), zone, timedelta(hours=6), **crontab) for moment in moments]
    return [found for found in dict.fromkeys(seen) if found and found >= now]


SPRING, AUTUMN = "2026-03-28 23:00", "2026-10-24 22:00"
"""Midnight in Berlin (in UTC), before the clock goes from 02:00 to 03:00, and before it goes from 03:00 to 02:00."""


@pytest.mark.parametrize(
    ("crontab", "spring", "autumn"),
    [
        ({"minute": "30", "hour": "2"}, ["03-29 01:00"], ["10-25 00:30"]),
        ({"minute": "0", "hour": "2"}, ["03-29 01:00"], ["10-25 00:00"]),
        ({"minute": "0", "hour": "3"}, ["03-29 01:00"], ["10-25 02:00"]),
        ({"minute": "0", "hour": "2,3"}, ["03-29 01:00"], ["10-25 00:00", "10-25 02:00"]),
        ({"minute": "0,30", "hour": "1-2"}, ["03-29 00:00", "03-29 00:30", "03-29 01:00"], [
            "10-24 23:00", "10-24 23:30", "10-25 00:00", "10-25 00:30"]),
        ({"minute": "30", "hour": "*"}, ["03-28 23:30", *(f"03-29 0{hour}:30" for hour in range(5))], [
            "10-24 22:30", "10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30", "10-25 03:30"]),
        ({"minute": "0", "hour": "*/2"}, ["03-28 23:00", "03-29 02:00", "03-29 04:00"], [
            "10-24 22:00", "10-25 00:00", "10-25 01:00", "10-25 03:00"]),
        ({"minute": "30", "hour": "2", "day_of_week": "0"}, ["03-29 01:00"], ["10-25 00:30"]),
        ({"minute": "30", "hour": "2", "day_of_week": "1"}, [], []),
    ],
    ids=str,
)  # fmt: skip
def test_a_fixed_time_comes_once_in_the_night_of_a_dst_change(
    crontab: dict[str, str], spring: list[str], autumn: list[str]
) -> None:
    """As in cron. A crontab of every hour runs in each actual hour."""
    assert newest(SPRING, "Europe/Berlin", **crontab) == [f"2026-{text}" for text in spring]
    assert newest(AUTUMN, "Europe/Berlin", **crontab) == [f"2026-{text}" for text in autumn]


def test_a_skipped_midnight_comes_an_hour_later() -> None:
    """24 April 2026 in Cairo begins at 01:00."""
    assert slot("2026-04-23 22:30", "Africa/Cairo", minute="0", hour="0") == "2026-04-23 22:00"
    assert slot("2026-04-23 21:59", "Africa/Cairo", minute="0", hour="0") == "2026-04-22 22:00"


def test_a_dst_change_of_half_an_hour() -> None:
    """Lord Howe goes from 02:00 to 02:30 on 4 October 2026, and from 02:00 to 01:30 on 5 April."""
    assert slot("2026-10-03 15:45", "Australia/Lord_Howe", minute="15", hour="2") == "2026-10-03 15:30"
    assert slot("2026-04-04 20:00", "Australia/Lord_Howe", minute="45", hour="1") == "2026-04-04 14:45"
