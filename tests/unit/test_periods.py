"""Tests of periods: each choice is resolved to a start and an end in the user's time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis.strategies import dates, datetimes, sampled_from, timezones

from exports.errors import BadPeriod
from exports.intake.periods import resolve
from exports.models.period import Period, PeriodChoice

TOKYO, BERLIN, NEW_YORK, HAVANA = map(ZoneInfo, ("Asia/Tokyo", "Europe/Berlin", "America/New_York", "America/Havana"))
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ends(choice: str, now: str, zone: ZoneInfo = UTC_ZONE, first: str = "", last: str = "") -> tuple[str, str]:
    """Return start and end in UTC, as text; "" for an open side."""
    days = [date.fromisoformat(day) if day else None for day in (first, last)]
    period = resolve(choice, *days, zone=zone, now=at(now))
    moments = [
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") if moment else "" for moment in (period.start, period.end)
    ]
    return moments[0], moments[1]


@pytest.mark.parametrize(
    ("choice", "now", "zone", "expected"),
    [
        ("ytd", "2026-07-15T10:30", UTC_ZONE, ("2026-01-01T00:00", "2026-07-15T10:30")),
        # 16:00 on 31 December in UTC is 1 January in Tokyo; 03:00 on 1 January in UTC is 31 December in New York.
        ("ytd", "2025-12-31T16:00", TOKYO, ("2025-12-31T15:00", "2025-12-31T16:00")),
        ("ytd", "2026-01-01T03:00", NEW_YORK, ("2025-01-01T05:00", "2026-01-01T03:00")),
        ("last-month", "2026-01-10T10:00", UTC_ZONE, ("2025-12-01T00:00", "2026-01-01T00:00")),
        ("last-month", "2025-12-31T16:00", TOKYO, ("2025-11-30T15:00", "2025-12-31T15:00")),
        ("last-month", "2024-03-31T10:00", UTC_ZONE, ("2024-02-01T00:00", "2024-03-01T00:00")),
        # In Berlin, March is an hour shorter than 31 days, and October an hour longer.
        ("last-month", "2026-04-05T10:00", BERLIN, ("2026-02-28T23:00", "2026-03-31T22:00")),
        ("last-month", "2026-11-05T10:00", BERLIN, ("2026-09-30T22:00", "2026-10-31T23:00")),
        ("last-12-months", "2026-07-15T10:30", UTC_ZONE, ("2025-07-16T00:00", "2026-07-15T10:30")),
        ("last-12-months", "2026-11-27T10:30", UTC_ZONE, ("2025-11-28T00:00", "2026-11-27T10:30")),
        ("last-12-months", "2026-01-01T03:00", NEW_YORK, ("2025-01-01T05:00", "2026-01-01T03:00")),
        ("last-12-months", "2028-02-29T10:00", UTC_ZONE, ("2027-03-01T00:00", "2028-02-29T10:00")),
        ("last-12-months", "2028-02-28T10:00", UTC_ZONE, ("2027-03-01T00:00", "2028-02-28T10:00")),
        ("last-12-months", "2029-02-28T10:00", UTC_ZONE, ("2028-03-01T00:00", "2029-02-28T10:00")),
        ("all", "2026-07-15T10:30", BERLIN, ("", "")),
    ],
)
def test_a_choice_is_resolved_in_the_users_time_zone(
    choice: str, now: str, zone: ZoneInfo, expected: tuple[str, str]
) -> None:
    assert ends(choice, now, zone) == expected


@pytest.mark.parametrize(
    ("first", "last", "zone", "expected"),
    [
        ("2026-03-01", "2026-03-01", UTC_ZONE, ("2026-03-01T00:00", "2026-03-02T00:00")),
        ("2026-03-29", "2026-03-29", BERLIN, ("2026-03-28T23:00", "2026-03-29T22:00")),  # 23 hours
        ("2026-10-25", "2026-10-25", BERLIN, ("2026-10-24T22:00", "2026-10-25T23:00")),  # 25 hours
        ("2024-02-29", "2024-02-29", TOKYO, ("2024-02-28T15:00", "2024-02-29T15:00")),
        ("2026-03-08", "2026-03-08", HAVANA, ("2026-03-08T05:00", "2026-03-09T04:00")),  # this day has no midnight
        ("2030-01-01", "2030-12-31", UTC_ZONE, ("2030-01-01T00:00", "2031-01-01T00:00")),  # the future is allowed
    ],
)
def test_days_are_whole_days_in_the_users_time_zone(
    first: str, last: str, zone: ZoneInfo, expected: tuple[str, str]
) -> None:
    assert ends("custom", "2026-07-15T10:30", zone, first, last) == expected


@pytest.mark.parametrize(
    ("choice", "first", "last", "words"),
    [
        (
            "yesterday",
            "",
            "",
            r"There is no period 'yesterday'\. Choose one of: ytd, last-month, last-12-months, all, custom\.",
        ),
        ("custom", "", "", "Give both"),
        ("custom", "2026-01-01", "", "Give both"),
        ("custom", "", "2026-01-01", "Give both"),
        ("custom", "2026-01-02", "2026-01-01", "Swap the two dates"),
        ("custom", "0001-01-01", "2026-01-01", "too early"),
        ("custom", "2026-01-01", "9999-12-31", "too late"),
    ],
)
def test_a_bad_period_raises_an_error(choice: str, first: str, last: str, words: str) -> None:
    with pytest.raises(BadPeriod, match=words) as caught:
        ends(choice, "2026-07-15T10:30", TOKYO, first, last)
    assert (caught.value.field, caught.value.message[-1]) == ("period", ".")


@given(first=dates(), last=dates(), zone=timezones())
@example(first=date(1, 1, 2), last=date(9999, 12, 30), zone=TOKYO)
@example(first=date(1, 1, 2), last=date(9999, 12, 30), zone=NEW_YORK)
def test_any_two_days_give_a_period_or_an_error(first: date, last: date, zone: ZoneInfo) -> None:
    try:
        period = resolve("custom", first, last, zone=zone, now=at("2026-07-15T10:30"))
    except BadPeriod:
        return
    assert period.start is not None
    assert period.end is not None
    assert timedelta(hours=20) < period.end.astimezone(UTC) - period.start.astimezone(UTC)
    assert period.label()


@given(
    choice=sampled_from([choice for choice in PeriodChoice.values if choice != "custom"]),
    now=datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
    zone=timezones(),
)
def test_no_choice_ends_after_now(choice: str, now: datetime, zone: ZoneInfo) -> None:
    period = resolve(choice, None, None, zone=zone, now=now.replace(tzinfo=UTC))
    if choice == "all":
        assert period.is_everything
        return
    assert period.start is not None
    assert period.end is not None
    assert period.end.astimezone(UTC) <= now.replace(tzinfo=UTC) + timedelta(microseconds=1)
    assert period.start.astimezone(UTC) <= period.end.astimezone(UTC)


@given(today=dates(date(1990, 1, 1), date(2090, 1, 1)))
@example(today=date(2028, 2, 28))
@example(today=date(2028, 2, 29))
@example(today=date(2029, 2, 28))
def test_the_last_12_months_contain_no_day_of_the_year_twice(today: date) -> None:
    """There are 365 days, or 366 with a 29 February. The same day of last year is not included."""
    now = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    period = resolve("last-12-months", None, None, zone=UTC_ZONE, now=now)
    assert period.last_day == today
    assert period.first_day is not None
    days = [period.first_day + timedelta(days=number) for number in range((today - period.first_day).days + 1)]
    named = {(day.month, day.day) for day in days}
    assert len(named) == len(days) == 365 + ((2, 29) in named)


@pytest.mark.parametrize("zone", [UTC_ZONE, TOKYO])
@pytest.mark.parametrize("choice", ["ytd", "last-12-months"])
def test_a_period_until_now_includes_today_even_at_midnight(choice: str, zone: ZoneInfo) -> None:
    midnight = datetime(2026, 1, 1, tzinfo=zone)
    assert resolve(choice, None, None, zone=zone, now=midnight).last_day == date(2026, 1, 1)


@pytest.mark.parametrize(
    ("start", "end", "zone", "label"),
    [
        ("", "", UTC_ZONE, "everything"),
        ("", "2026-07-15T10:30", UTC_ZONE, "everything to 15 July 2026"),
        ("", "2026-07-15T20:30", TOKYO, "everything to 16 July 2026"),
        ("2026-01-01T00:00", "2026-02-01T00:00", UTC_ZONE, "1 January 2026 to 31 January 2026"),
        ("2026-03-31T22:00", "2026-04-30T22:00", BERLIN, "1 April 2026 to 30 April 2026"),
    ],
)
def test_a_label_has_days_in_the_users_time_zone(start: str, end: str, zone: ZoneInfo, label: str) -> None:
    first, last = [at(moment) if moment else None for moment in (start, end)]
    assert Period(first, last, zone=zone).label() == label
