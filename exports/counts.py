"""Sums over the parts of exports: one query for any number of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, Q, Sum
from django.db.models.functions import Now

from exports.models import Export, Part
from exports.states import PartState

DONE = Q(state__in=[PartState.DONE, PartState.JOINED])
RUNNING = Q(state=PartState.WAITING, lease_until__gt=Now())
AGAIN = Q(state=PartState.WAITING, error_code__gt="")


@dataclass(frozen=True)
class Counts:
    """The parts of one of an export's files, all together."""

    content: int
    parts: int
    rows: int
    rows_done: int
    done: int
    done_rows: int
    done_seconds: float
    """What workers have spent on the parts that are done."""
    running: int
    running_rows: int
    running_done: int
    """Rows of the running parts that are behind them already, as far as their workers have said so."""
    running_for: timedelta
    """How long the running parts run already, summed."""
    published: int
    retrying: int
    retry_at: datetime | None
    now: datetime
    """The moment of all this, by the database's clock."""

    @property
    def begun(self) -> bool:
        return bool(self.done or self.running)


SUMS: dict[str, Any] = {
    "parts": Count("pk"),
    "rows": Sum("rows", default=0),
    "rows_done": Sum("rows_done", default=0),
    "done": Count("pk", filter=DONE),
    "done_rows": Sum("rows_done", filter=DONE, default=0),
    "done_seconds": Sum("seconds", filter=DONE, default=0.0),
    "running": Count("pk", filter=RUNNING),
    "running_rows": Sum("rows", filter=RUNNING, default=0),
    "running_done": Sum("rows_done", filter=RUNNING, default=0),
    "running_for": Sum(
        ExpressionWrapper(Now() - F("claimed_at"), DurationField()), filter=RUNNING, default=timedelta()
    ),
    "published": Count("pk", filter=Q(state=PartState.WAITING, published_at__isnull=False)),
    "retrying": Count("pk", filter=AGAIN),
    "retry_at": Max("next_attempt_at", filter=AGAIN),
    "now": Min(Now()),
}


def counts_of(exports: Collection[Export]) -> dict[int, list[Counts]]:
    """By the primary key of the export, its files' counts; none for an export that is not planned yet."""
    found: dict[int, list[Counts]] = defaultdict(list)
    if not exports:
        return found
    parts = Part.objects.filter(export__in=[export.pk for export in exports]).order_by("export", "content")
    sums = {f"{name}_": each for name, each in SUMS.items()}  # a sum must not have the name of a field
    rows: Iterable[Any] = (
        parts.values_list("export", "content").annotate(**sums).values_list("export", "content", *sums)
    )
    for export, *counts in rows:
        found[export].append(Counts(*counts))
    return found
