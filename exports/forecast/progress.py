"""How far exports are and how long they will take: what the pages, the API and the command tell of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from exports.forecast.timing import Counts, Outlook, Times, counts_of
from exports.models import Export
from exports.states import State


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
    """Exports that get a turn before this one begins; None once it has begun."""
    starts_in: float | None = None
    """Seconds until it begins; None once it has begun, and when that cannot be told."""
    seconds_left: float | None = None
    """Seconds until the file is ready; None when it is over, and when that cannot be told."""

    @property
    def percent(self) -> int | None:
        """Rounded down, so that 100 means all of it."""
        return None if self.share is None else int(self.share * 100)


def progress_of(export: Export) -> Progress:
    """How far `export` is, or had got."""
    return _told([export], counts_of([export]))[export.pk]


def progress_of_many(exports: Collection[Export]) -> dict[int, Progress]:
    """The progress of each of these exports of one owner, by its primary key.

    One query for all parts of those under way, three for the workers' load, and one for each dataset and format.
    """
    return _told(exports, counts_of([export for export in exports if export.is_open]))


def _told(exports: Collection[Export], counts: Mapping[int, Sequence[Counts]]) -> dict[int, Progress]:
    going = [export for export in exports if export.is_open]
    times = {}
    if going:
        outlook = Outlook(going[0].owner_id, max(export.pk for export in going))
        times = {export.pk: outlook.times(export, counts[export.pk]) for export in going}
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
