"""Durations and estimates in words, for pages and the command line."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import ngettext

UNITS = ("B", "KB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """ "12 seconds", "3 minutes": at least one second, and no more exact than such a time can be told."""
    if seconds < 90:
        count = max(1, round(seconds))
        return ngettext("%d second", "%d seconds", count) % count
    if seconds < 90 * 60:
        count = round(seconds / 60)
        return ngettext("%d minute", "%d minutes", count) % count
    count = round(seconds / 3600)
    return ngettext("%d hour", "%d hours", count) % count


def about_size(size: int) -> str:
    """ "21 MB", "3.4 MB": as exact as an estimate of bytes can be."""
    amount, unit = float(size), 0
    while amount >= 999.5 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    digits = 1 if unit and amount < 9.95 else 0
    return f"{number_format(round(amount, digits), digits)} {UNITS[unit]}"


def rounded(number: int) -> int:
    """To two digits, which is as much as an estimate can say."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)
