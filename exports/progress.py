"""How far an export is: one cheap aggregate over its parts, for the pages and the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Count, Q, Sum

from exports.models import Export, Part
from exports.states import PartState, State


@dataclass(frozen=True)
class Progress:
    """`rows_total` and `share` (0 to 1) are None until the rows are counted."""

    rows_done: int = 0
    rows_total: int | None = None
    share: float | None = None
    parts_done: int = 0
    parts_total: int = 0
    retrying: int = 0
    """Parts whose last attempt failed and that will be tried again."""
    ahead: int | None = None
    """Other exports that were asked for earlier and are still under way; None where nobody asked."""

    @property
    def percent(self) -> int | None:
        """Rounded down, so that 100 means all of it."""
        return None if self.share is None else int(self.share * 100)


class Counts(NamedTuple):
    """Sums over the parts of one export."""

    rows_done: int = 0
    parts_done: int = 0
    parts_total: int = 0
    retrying: int = 0


def progress_of(export: Export, *, with_queue: bool = False) -> Progress:
    """How far `export` is. `with_queue` also counts what stands before it while it waits, for one query more."""
    ahead = exports_ahead(export) if with_queue and export.state == State.QUEUED else None
    return _progress(export, progress_counts([export]).get(export.pk, Counts()), ahead)


def progress_of_many(exports: Collection[Export]) -> dict[int, Progress]:
    """The progress of each export by its primary key, with one query for all of them."""
    counts = progress_counts([export for export in exports if export.is_open])
    return {export.pk: _progress(export, counts.get(export.pk, Counts())) for export in exports}


def progress_counts(exports: Collection[Export]) -> dict[int, Counts]:
    """Counts by the primary key of the export; an export without parts is left out."""
    if not exports:
        return {}
    sums: dict[str, Any] = {
        "rows_done": Sum("rows_done"),
        "parts_total": Count("pk"),
        "parts_done": Count("pk", filter=Q(state__in=[PartState.DONE, PartState.JOINED])),
        "retrying": Count("pk", filter=Q(state=PartState.WAITING, error_code__gt="")),
    }
    parts = Part.objects.filter(export__in=[export.pk for export in exports]).order_by()
    rows: Iterable[Any] = parts.values("export").annotate(**{f"{name}_": sums[name] for name in Counts._fields})
    return {row["export"]: Counts(*(row[f"{name}_"] or 0 for name in Counts._fields)) for row in rows}


def exports_ahead(export: Export) -> int:
    """Exports asked for earlier that are still under way; the partial indexes of open work answer it."""
    under_way = Q(next_attempt_at__isnull=False) | Q(state=State.RENDERING)
    return Export.objects.filter(under_way, requested_at__lt=export.requested_at).exclude(pk=export.pk).count()


def _progress(export: Export, counts: Counts, ahead: int | None = None) -> Progress:
    ended = export.state in (State.READY, State.EXPIRED)
    done = (export.rows or 0) if ended else counts.rows_done
    return Progress(
        rows_done=done,
        rows_total=export.rows,
        share=_share(export, done),
        parts_done=counts.parts_done,
        parts_total=counts.parts_total,
        retrying=counts.retrying,
        ahead=ahead,
    )


def _share(export: Export, done: int) -> float | None:
    if export.state in (State.ASSEMBLING, State.READY, State.EXPIRED):
        return 1.0
    if not export.rows:
        return None
    return min(done / export.rows, 1.0)
