"""Periods: what a person picks, frozen at the click to two moments in the person's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils import formats
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from exports.errors import BadPeriod

UTC = ZoneInfo("UTC")
TICK = timedelta(microseconds=1)
"""The smallest step of a date-time."""


class PeriodChoice(models.TextChoices):
    """What the form offers."""

    YEAR_TO_DATE = "ytd", _("Year to date")
    LAST_MONTH = "last-month", _("Last month")
    LAST_12_MONTHS = "last-12-months", _("Last 12 months")
    ALL = "all", _("Everything")
    CUSTOM = "custom", _("From … to …")


@dataclass(frozen=True)
class Period:
    """Rows from `start` (inclusive) to `end` (exclusive), both aware; None leaves that side open.

    Only rows that were there at `asked_at` count, the moment of the click. Days are days of `zone`.
    """

    start: datetime | None = None
    end: datetime | None = None
    asked_at: datetime | None = None
    zone: ZoneInfo = UTC

    @property
    def first_day(self) -> date | None:
        """The day of `start`."""
        return self.start.astimezone(self.zone).date() if self.start else None

    @property
    def last_day(self) -> date | None:
        """The last day with any moment in the period."""
        return (self.end - TICK).astimezone(self.zone).date() if self.end else None

    @property
    def is_everything(self) -> bool:
        return self.start is None and self.end is None

    def label(self) -> str:
        """The period in words."""
        if self.last_day is None:
            return gettext("everything")
        last = _day(self.last_day)
        if self.first_day is None:
            return gettext("everything to %(last)s") % {"last": last}
        return gettext("%(first)s to %(last)s") % {"first": _day(self.first_day), "last": last}


def _day(day: date) -> str:
    return formats.date_format(day, "j F Y")


def resolve(choice: str, date_from: date | None, date_to: date | None, *, zone: ZoneInfo, now: datetime) -> Period:
    """Freeze `choice` at `now`. Raises BadPeriod for an unknown choice, and for dates that are missing or reversed.

    A period that goes on until now includes this very moment: its last day is today, also at midnight.
    """
    today, until_now = now.astimezone(zone).date(), now + TICK
    match choice:
        case PeriodChoice.YEAR_TO_DATE:
            return Period(_midnight(today.replace(month=1, day=1), zone), until_now, zone=zone)
        case PeriodChoice.LAST_MONTH:
            first = today.replace(day=1)
            last_month = (first - timedelta(days=1)).replace(day=1)
            return Period(_midnight(last_month, zone), _midnight(first, zone), zone=zone)
        case PeriodChoice.LAST_12_MONTHS:
            return Period(_midnight(_year_before(today + timedelta(days=1)), zone), until_now, zone=zone)
        case PeriodChoice.ALL:
            return Period(zone=zone)
        case PeriodChoice.CUSTOM:
            return _custom(date_from, date_to, zone)
    known = ", ".join(PeriodChoice.values)
    raise BadPeriod(
        gettext("There is no period %(choice)r. Choose one of: %(known)s.") % {"choice": choice, "known": known}
    )


def _custom(date_from: date | None, date_to: date | None, zone: ZoneInfo) -> Period:
    if date_from is None or date_to is None:
        raise BadPeriod(gettext("Give both the first and the last day of the period."))
    if date_to < date_from:
        raise BadPeriod(gettext("The last day is before the first one. Swap the two dates."))
    if date_from == date.min:  # its first moment may lie before the first one that a date-time can hold
        raise BadPeriod(gettext("The first day is too far back. Choose a later one."))
    if date_to == date.max:
        raise BadPeriod(gettext("The last day is too far away. Choose an earlier one."))
    return Period(_midnight(date_from, zone), _midnight(date_to + timedelta(days=1), zone), zone=zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _year_before(day: date) -> date:
    """The same day of the year before; 1 March for 29 February, or the twelve months would have 28 February twice."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return date(day.year - 1, 3, 1)
