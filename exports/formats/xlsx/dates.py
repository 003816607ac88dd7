"""Cells of dates, date-times, times and durations, as serial numbers of spreadsheets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from math import inf, nextafter
from zoneinfo import ZoneInfo

from django.utils.duration import duration_iso_string

from exports.formats.values import local
from exports.formats.xlsx.cells import NUMBER_END, TEXT, TEXT_END, Cells, head, whole
from exports.formats.xlsx.styles import DAY, DURATION, MOMENT, TIME

ZERO = date(1899, 12, 30).toordinal()
"""Day 0 of spreadsheets, as an ordinal of Python's calendar."""
FIRST_DAY = date(1900, 3, 1)
"""Earlier dates are text: Excel's calendar has a 29 February 1900, and LibreOffice's does not."""
DAY_MS = 86_400_000
DAY_SECONDS = 86_400
DAY_HEAD, MOMENT_HEAD = head(DAY), head(MOMENT)


def times(values: Sequence[time]) -> Cells:
    """Return times of day as spreadsheets store them: as fractions of a day, to the microsecond."""
    seconds = [((value.hour * 60 + value.minute) * 60 + value.second) + value.microsecond / 1e6 for value in values]
    return Cells(head(TIME), [repr(second / DAY_SECONDS).encode() for second in seconds], NUMBER_END)


def durations(values: Sequence[timedelta]) -> Cells:
    """Return durations in days. Negative durations, which Excel cannot show, are ISO 8601 text."""
    return whole([_duration(value) for value in values])


def _duration(value: timedelta) -> bytes:
    if value < timedelta():
        return TEXT + duration_iso_string(value).encode() + TEXT_END
    return head(DURATION) + repr(value / timedelta(days=1)).encode() + NUMBER_END


def dates(values: Sequence[date]) -> Cells:
    """Return dates as day numbers of spreadsheets."""
    if min(values) >= FIRST_DAY:
        return Cells(DAY_HEAD, [b"%d" % day(value) for value in values], NUMBER_END)
    return whole([_date(value) for value in values])


def _date(value: date) -> bytes:
    if value < FIRST_DAY:
        return TEXT + value.isoformat().encode() + TEXT_END
    return DAY_HEAD + b"%d" % day(value) + NUMBER_END


def day(value: date) -> int:
    return value.toordinal() - ZERO


def moments(values: Sequence[datetime], zone: ZoneInfo) -> Cells:
    """Return date-times in `zone`, to the millisecond."""
    return whole([moment(local(value, zone)) for value in values])


def moment(value: datetime) -> bytes:
    if value.date() < FIRST_DAY:
        return TEXT + value.isoformat().encode() + TEXT_END
    ms = ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
    return MOMENT_HEAD + serial(day(value), ms) + NUMBER_END


def serial(days: int, ms: int) -> bytes:
    """Return the serial number of a moment, `ms` milliseconds after the start of day number `days`.

    It is the smallest double that is not before the moment: LibreOffice truncates to seconds, so a double just below
    would show the previous second.
    """
    whole = days * DAY_MS + ms
    number = whole / DAY_MS
    above, below = number.as_integer_ratio()
    return repr(number if above * DAY_MS >= whole * below else nextafter(number, inf)).encode()
