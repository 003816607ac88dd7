"""Measured rates: how fast this site writes a dataset in a format, and how large the files come out."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Sum

from exports.conf import export_settings
from exports.formats import writer
from exports.models import Export, Part
from exports.states import State

RECENT = 5
"""Finished exports that a rate is taken from."""
TELLING_ROWS = 1_000
"""Smaller exports say more about starting than about rows."""
LEAST_ROWS, MOST_ROWS = 1_000, 1_000_000
"""Rows of a part at least and at most, however slow or fast a format is."""


@dataclass(frozen=True)
class Rate:
    """What a row takes; `measured` is False as long as the format's own guess stands in."""

    seconds_per_row: float
    bytes_per_row: float
    measured: bool

    @property
    def rows_per_part(self) -> int:
        """How many rows make a part of the planned seconds."""
        config = export_settings()
        wanted = config.rows_per_part or int(config.part_seconds / self.seconds_per_row)
        return wanted if config.rows_per_part else min(max(wanted, LEAST_ROWS), MOST_ROWS)


def rate_of(dataset: str, kind: str) -> Rate:
    """The rate of the last exports of `dataset` as `kind` on this site. Raises UnknownFormat."""
    guess = writer(kind)
    recent = Export.objects.filter(
        dataset=dataset, format=kind, state__in=[State.READY, State.EXPIRED], rows__gte=TELLING_ROWS
    )
    last = dict(recent.order_by("-finished_at").values_list("pk", "size")[:RECENT])
    sums = Part.objects.filter(export__in=list(last)).aggregate(rows=Sum("rows_done"), seconds=Sum("seconds"))
    if not sums["rows"] or not sums["seconds"]:
        return Rate(1 / guess.rows_per_second, guess.bytes_per_row, measured=False)
    return Rate(sums["seconds"] / sums["rows"], sum(size or 0 for size in last.values()) / sums["rows"], measured=True)
