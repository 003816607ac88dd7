"""Progress and remaining time of exports, for the pages, the API and the command."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from exports.forecast.timing import Counts, Outlook, Times, counts_of
from exports.models import Export
from exports.states import State


@dataclass(frozen=True)
class Progress:
    """The progress of one export. `rows_total` and `share` (0 to 1) are None until the rows are counted."""

    rows_done: int = 0
    rows_total: int | None = None
    share: float | None = None
    parts_done: int = 0
    parts_total: int = 0
    retrying: int = 0
    """Number of parts that wait for a retry after a failed attempt."""
    ahead: int | None = None
    """Number of exports that get a turn first; None once this one has begun."""
    starts_in: float | None = None
    """Seconds until it begins; None once it has begun, or if unknown."""
    seconds_left: float | None = None
    """Seconds until the file is ready; None once the export has ended, or if unknown."""

    @property
    def percent(self) -> int | None:
        """`share` in percent, rounded down, so that 100 means all of it."""
        return None if self.share is None else int(self.share * 100)


def progress_of(export: Export) -> Progress:
    """Return the progress of `export`; if it has ended, its last progress."""
    return _progress_by_pk([export], counts_of([export]))[export.pk]


def progress_of_many(exports: Collection[Export]) -> dict[int, Progress]:
    """Return the progress of exports of one owner, by primary key.

    Takes one query for the parts of all open exports, three for the load, and one for each dataset and format.
    """
    return _progress_by_pk(exports, counts_of([export for export in exports if export.is_open]))


def _progress_by_pk(exports: Collection[Export], counts: Mapping[int, Sequence[Counts]]) -> dict[int, Progress]:
    open_exports = [export for export in exports if export.is_open]
    times = {}
    if open_exports:
        outlook = Outlook(open_exports[0].owner_id, max(export.pk for export in open_exports))
        times = {export.pk: outlook.times(export, counts[export.pk]) for export in open_exports}
    return {export.pk: _progress(export, counts[export.pk], times.get(export.pk, Times())) for export in exports}


def _progress(export: Export, counts: Sequence[Counts], times: Times) -> Progress:
    ended = export.state in (State.READY, State.EXPIRED)
    done = (export.rows or 0) if ended else sum(each.rows_done for each in counts)
    return Progress(
        rows_done=done,
        rows_total=export.rows,
        share=_share(export, done),
        parts_done=sum(each.done for each in counts),
        parts_total=sum(each.parts for each in counts),
        retrying=sum(each.retrying for each in counts),
        ahead=times.ahead,
        starts_in=times.starts_in,
        seconds_left=times.seconds_left,
    )


def _share(export: Export, done: int) -> float | None:
    if export.state in (State.ASSEMBLING, State.READY, State.EXPIRED):
        return 1.0
    if not export.rows:
        return None
    return min(done / export.rows, 1.0)
