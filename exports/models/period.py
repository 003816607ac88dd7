"""The period of an export: the choices of the form, and the start and end that a choice stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from notifications.dates import day

UTC = ZoneInfo("UTC")
TICK = timedelta(microseconds=1)
"""The resolution of a date-time."""


class PeriodChoice(models.TextChoices):
    """Choices of the form."""

    YEAR_TO_DATE = "ytd", _("Year to date")
    LAST_MONTH = "last-month", _("Last month")
    LAST_12_MONTHS = "last-12-months", _("Last 12 months")
    ALL = "all", _("Everything")
    CUSTOM = "custom", _("From … to …")


@dataclass(frozen=True)
class Period:
    """Rows from `start` (inclusive) to `end` (exclusive), both aware; None leaves that side open.

    Only rows that existed at `asked_at`, the time of the request, are included. Days are days in `zone`.
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
        """The last day that overlaps the period."""
        return (self.end - TICK).astimezone(self.zone).date() if self.end else None

    @property
    def is_everything(self) -> bool:
        return self.start is None and self.end is None

    def label(self) -> str:
        """Return the period in words."""
        if self.last_day is None:
            return gettext("everything")
        last = day(self.last_day)
        if self.first_day is None:
            return gettext("everything to %(last)s") % {"last": last}
        return gettext("%(first)s to %(last)s") % {"first": day(self.first_day), "last": last}
