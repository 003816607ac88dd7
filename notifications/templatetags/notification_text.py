"""Filters for the notifications' texts, whose contexts come from JSON."""

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format

register = template.Library()


@register.filter
def moment(value: object) -> str:
    """An ISO moment as people write it: "27 July 2026, 14:00 UTC". Anything else stays as it is."""
    try:
        parsed = parse_datetime(str(value))
    except ValueError:
        parsed = None
    if parsed is None or timezone.is_naive(parsed):
        return str(value)
    local = timezone.localtime(parsed)
    return f"{date_format(local, 'j F Y, H:i')} {local.tzname()}"
