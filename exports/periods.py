"""Periods: what the person picks, and the two moments that it is frozen to at the click, in the person's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils import formats
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from exports.errors import BadPeriod


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

    Only rows that were there at `asked_at` count, the moment of the click.
    """

    start: datetime | None = None
    end: datetime | None = None
    asked_at: datetime | None = None

    def label(self, zone: ZoneInfo) -> str:
        """The period in words, as days of `zone`; the last day is the last one with any moment in the period."""
        if self.end is None:
            return gettext("everything")
        last = _day((self.end - timedelta(microseconds=1)).astimezone(zone).date())
        if self.start is None:
            return gettext("everything to %(last)s") % {"last": last}
        return gettext("%(first)s to %(last)s") % {"first": _day(self.start.astimezone(zone).date()), "last": last}


def _day(day: date) -> str:
    return formats.date_format(day, "j F Y")


def resolve(choice: str, date_from: date | None, date_to: date | None, *, zone: ZoneInfo, now: datetime) -> Period:
    """Freeze `choice` at `now`. Raises BadPeriod for an unknown choice, and for dates that are missing or reversed."""
    today = now.astimezone(zone).date()
    match choice:
        case PeriodChoice.YEAR_TO_DATE:
            return Period(_midnight(today.replace(month=1, day=1), zone), now)
        case PeriodChoice.LAST_MONTH:
            first = today.replace(day=1)
            return Period(_midnight((first - timedelta(days=1)).replace(day=1), zone), _midnight(first, zone))
        case PeriodChoice.LAST_12_MONTHS:
            return Period(_midnight(_year_before(today), zone), now)
        case PeriodChoice.ALL:
            return Period(None, now)
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
    return Period(_midnight(date_from, zone), _midnight(date_to + timedelta(days=1), zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)
