"""Filters for the texts of notifications, whose contexts come from JSON."""

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma, naturaltime
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from notifications import dates, links

register = template.Library()

register.filter("intcomma", intcomma, is_safe=True)
register.filter("naturaltime", naturaltime)
register.filter("absolute", links.absolute)


@register.filter
def moment(value: object) -> str:
    """Format an ISO date-time as "27 July 2026, 14:00 UTC". Return anything else unchanged, as a string."""
    try:
        parsed = parse_datetime(str(value))
    except ValueError:
        parsed = None
    if parsed is None or timezone.is_naive(parsed):
        return str(value)
    return dates.moment_with_zone(timezone.localtime(parsed))
