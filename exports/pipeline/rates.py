"""Measured rates: how fast this site writes a dataset in a format, and how large the files are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Count, ExpressionWrapper, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.fields import DurationField

from exports.conf import export_settings
from exports.datasets import datasets
from exports.formats import writer
from exports.models import Export, Part
from exports.models.export import TELLING_ROWS
from exports.states import State

RECENT = 5
"""Number of finished exports that a rate is computed from."""
LEAST_ROWS, MOST_ROWS = 1_000, 1_000_000
"""Minimum and maximum rows of a part, however slow or fast a format is."""
USUAL_COLUMNS = 12
"""Number of columns that the formats' default rates assume."""
JOINED_PER_SECOND = 60_000_000
"""Bytes per second that one worker assembles, checks and stores, until this site has a measured value."""
USUAL_LANES = 2.0
"""Number of workers that render in parallel, until this site has a measured value."""


@dataclass(frozen=True)
class Rate:
    """Time and size per row. `measured` is False if they are the format's default."""

    seconds_per_row: float
    bytes_per_row: float
    measured: bool
    joining_per_row: float = 0.0
    """Seconds per row that one worker spends on planning and assembling."""
    lanes: float = USUAL_LANES
    """Number of parts written in parallel."""

    @property
    def rows_per_part(self) -> int:
        """Rows of a part that takes `part_seconds`, within limits; or the setting `rows_per_part`, if it is set."""
        config = export_settings()
        wanted = config.rows_per_part or int(config.part_seconds / self.seconds_per_row)
        return wanted if config.rows_per_part else min(max(wanted, LEAST_ROWS), MOST_ROWS)


class _Seen(NamedTuple):
    """One finished export. `work` is the seconds of its parts, `joining` the rest, `wall` the time from plan to end."""

    rows: int
    size: int | None
    joining: float
    work: float | None
    parts: int | None
    wall: timedelta | None
    fields: list[str]


def rate_of(dataset: str, kind: str, columns: int | None = None) -> Rate:
    """Return the rate of the last exports of `dataset` as `kind` on this site, for `columns` columns (None: all).

    Time and size per row are proportional to the number of columns. Raises UnknownFormat.
    """
    guess, every = writer(kind), _columns_of(dataset)
    wanted = columns or every
    seen = [each for each in _recent(dataset, kind) if each.work and each.rows]
    if not seen:
        wide = wanted / USUAL_COLUMNS
        size = guess.bytes_per_row * wide
        return Rate(wide / guess.rows_per_second, size, measured=False, joining_per_row=size / JOINED_PER_SECOND)
    cells = sum(each.rows * (len(each.fields) or every) for each in seen) / wanted
    return Rate(
        seconds_per_row=sum(each.work or 0 for each in seen) / cells,
        bytes_per_row=sum(each.size or 0 for each in seen) / cells,
        measured=True,
        joining_per_row=_joining(seen) / cells,
        lanes=max(map(_lanes, seen)),
    )


class BundleRate(NamedTuple):
    """Average per row of all files of a bundle: bytes in the bundle, and seconds for assembling it."""

    bytes: float
    joining: float


def bundle_rate(dataset: str, kind: str) -> BundleRate | None:
    """Return the rate of the last bundles of these datasets (comma-separated keys), or None if there are none."""
    seen = [each for each in _recent(dataset, kind) if each.rows]
    rows = sum(each.rows for each in seen)
    return BundleRate(sum(each.size or 0 for each in seen) / rows, _joining(seen) / rows) if rows else None


def _recent(dataset: str, kind: str) -> list[_Seen]:
    return [_Seen(*row) for row in _recent_rows(dataset, kind)]


def _recent_rows(dataset: str, kind: str) -> QuerySet[Export, Any]:
    # One query. The subqueries run after the limit, so only the parts of these few exports are summed.
    parts = Part.objects.filter(export=OuterRef("pk")).order_by().values("export")
    work = Subquery(parts.annotate(sum=Sum("seconds")).values("sum"))
    count = Subquery(parts.annotate(count=Count("pk")).values("count"))
    wall = ExpressionWrapper(F("finished_at") - F("started_at"), DurationField())
    done = Export.objects.of_datasets(dataset).filter(
        format=kind, state__in=[State.READY, State.EXPIRED], rows__gte=TELLING_ROWS
    )
    return done.order_by("-finished_at").values_list("rows", "size", "seconds", work, count, wall, "fields")[:RECENT]


def _joining(seen: Sequence[_Seen]) -> float:
    return sum(each.joining for each in seen)


def _lanes(seen: _Seen) -> float:
    """Return the average number of parts that were written in parallel."""
    busy = (seen.wall or timedelta()).total_seconds() - seen.joining
    if (seen.parts or 0) < 2 * USUAL_LANES or busy <= 0:  # too few to measure
        return USUAL_LANES
    return min(max((seen.work or 0) / busy, 1.0), float(seen.parts or 1))


def _columns_of(dataset: str) -> int:
    return len(datasets.get(dataset).columns) if dataset in datasets else USUAL_COLUMNS
