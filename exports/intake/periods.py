"""Turn the period that a person chose into two moments in the person's time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from exports.errors import BadPeriod
from exports.models.period import TICK, Period, PeriodChoice


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
