"""Resolve the chosen period to a start and an end in the user's time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from exports.errors import BadPeriod
from exports.models.period import TICK, Period, PeriodChoice


def resolve(choice: str, date_from: date | None, date_to: date | None, *, zone: ZoneInfo, now: datetime) -> Period:
    """Resolve `choice` as of `now`. Raises BadPeriod for an unknown choice, and for missing or reversed dates.

    A period until now includes `now` itself, so its last day is today even at midnight.
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
        raise BadPeriod(gettext("The last day is before the first day. Swap the two dates."))
    if date_from == date.min:  # its midnight may be earlier than the minimum of a date-time
        raise BadPeriod(gettext("The first day is too early. Choose a later one."))
    if date_to == date.max:
        raise BadPeriod(gettext("The last day is too late. Choose an earlier one."))
    return Period(_midnight(date_from, zone), _midnight(date_to + timedelta(days=1), zone), zone=zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _year_before(day: date) -> date:
    """Return the same day one year before. For 29 February it is 1 March, so that no day of the year comes twice."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return date(day.year - 1, 3, 1)
