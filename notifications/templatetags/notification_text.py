"""Filters for the texts of notifications, whose contexts come from JSON."""

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format

register = template.Library()


@register.filter
def moment(value: object) -> str:
    """Format an ISO date-time as "27 July 2026, 14:00 UTC". Return anything else unchanged, as a string."""
    try:
        parsed = parse_datetime(str(value))
    except ValueError:
        parsed = None
    if parsed is None or timezone.is_naive(parsed):
        return str(value)
    local = timezone.localtime(parsed)
    return f"{date_format(local, 'j F Y, H:i')} {local.tzname()}"
