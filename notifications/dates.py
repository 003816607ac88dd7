"""Days and times in texts, in the way of the active language."""

from datetime import date, datetime

from django.utils.formats import date_format
from django.utils.translation import get_language


def is_english() -> bool:
    return (get_language() or "en").startswith("en")


def day(value: date) -> str:
    """Return a day as "27 July 2026", or as the language writes it, such as "27. Juli 2026"."""
    return date_format(value, "j F Y" if is_english() else "DATE_FORMAT")


def moment(value: datetime, time: str = "H:i") -> str:
    """Return a day and a time in the zone of `value`, as "27 July 2026, 14:00"."""
    return f"{day(value)}, {date_format(value, time)}"


def moment_with_zone(value: datetime) -> str:
    """Return a day and a time with the zone of `value`, as "27 July 2026, 14:00 CEST"."""
    return f"{moment(value)} {value.tzname()}"
