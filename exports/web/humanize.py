"""Durations and rounded numbers for pages and the command line."""

from __future__ import annotations

from django.utils.translation import ngettext


def duration(seconds: float) -> str:
    """Return "12 seconds" or "3 minutes": at least one second, rounded to a sensible precision."""
    if seconds < 90:
        count = max(1, round(seconds))
        return ngettext("%d second", "%d seconds", count) % count
    if seconds < 90 * 60:
        count = round(seconds / 60)
        return ngettext("%d minute", "%d minutes", count) % count
    count = round(seconds / 3600)
    return ngettext("%d hour", "%d hours", count) % count


def rounded(number: int) -> int:
    """Return `number` rounded to two significant digits."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
