"""Remaining time of open exports, from their own measured speed, and before that from the site's rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, Q, Sum

from durable import clock
from durable.clock import Now
from exports.conf import export_settings
from exports.errors import ExportError
from exports.forecast.load import Load, load_beside
from exports.models import Content, Export, Part
from exports.pipeline.rates import BundleRate, Rate, bundle_rate, rate_of
from exports.states import PartState, State

IDLE_SECONDS = 15.0
"""If no worker is running and an export has waited longer than this, its start time counts as unknown."""
MEASURED_WEIGHT, DEFAULT_WEIGHT = 1.5, 0.2
"""Weights of a measured rate and of a default one, in seconds of the export's own work."""
MOST_DONE = 0.9
"""Maximum share of a running part that counts as done, however long it has run."""

DONE = Q(state__in=[PartState.DONE, PartState.JOINED])
RUNNING = Q(state=PartState.WAITING, lease_until__gt=Now())
RETRYING = Q(state=PartState.WAITING, error_code__gt="")


@dataclass(frozen=True)
class Counts:
    """Sums over the parts of one file of an export."""

    content: int
    parts: int
    rows: int
    rows_done: int
    done: int
    done_rows: int
    done_seconds: float
    """Seconds that workers have spent on the done parts."""
    running: int
    running_rows: int
    running_done: int
    """Rows of the running parts that are done, as last recorded."""
    running_for: timedelta
    """Sum of the time that the running parts have taken so far."""
    published: int
    retrying: int
    retry_at: datetime | None
    now: datetime
    """The time of the query, by the database's clock."""

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
    "retrying": Count("pk", filter=RETRYING),
    "retry_at": Max("next_attempt_at", filter=RETRYING),
    "now": Min(Now()),
}


def counts_of(exports: Collection[Export]) -> dict[int, list[Counts]]:
    """Return the counts of the files of each export, by its primary key; empty for an export without parts."""
    found: dict[int, list[Counts]] = defaultdict(list)
    if not exports:
        return found
    parts = Part.objects.filter(export__in=[export.pk for export in exports]).order_by("export", "content")
    sums = {f"{name}_": each for name, each in SUMS.items()}  # an annotation must not have the name of a field
    rows: Iterable[Any] = (
        parts.values_list("export", "content").annotate(**sums).values_list("export", "content", *sums)
    )
    for export, *counts in rows:
        found[export].append(Counts(*counts))
    return found


@dataclass(frozen=True)
class Times:
    """Seconds until the start and the end, and the number of exports ahead. None if unknown or over."""

    ahead: int | None = None
    starts_in: float | None = None
    seconds_left: float | None = None


@dataclass
class Outlook:
    """Estimates the times of one owner's exports. It queries the load and each rate only once."""

    owner_pk: Any
    newest: int
    """The largest primary key among the exports."""
    _rates: dict[Content, Rate] = field(default_factory=dict)
    _bundles: dict[tuple[str, str], BundleRate | None] = field(default_factory=dict)

    @cached_property
    def load(self) -> Load:
        return load_beside(self.owner_pk, self.newest)

    def times(self, export: Export, counts: Sequence[Counts]) -> Times:
        """Return the times of `export`, from the counts of its files."""
        try:
            if export.state == State.ASSEMBLING:
                return Times(seconds_left=self._joining_left(export, counts))
            if any(each.begun for each in counts) and export.rows is None:  # they are counted while they are read
                return Times()
            if any(each.begun for each in counts):
                return Times(seconds_left=self._left(export, counts, _now(counts)))
            return self._before(export, counts) if export.is_open else Times()
        except ExportError:  # its format is no longer registered
            return Times()

    def _before(self, export: Export, counts: Sequence[Counts]) -> Times:
        """Return the times of an export whose first part has not begun."""
        now = _now(counts)
        waited = (now - (export.started_at or export.requested_at)).total_seconds()
        due = max(((export.next_attempt_at or now) - now).total_seconds(), 0.0)  # a retry waits
        ahead = self.load.ahead(export.pk)
        if not self.load.running and waited > IDLE_SECONDS and not due:
            return Times(ahead)
        published = any(each.published for each in counts)
        starts_in = max(self.load.wait(export.pk, self._lanes(export), published=published), due)
        known = counts and export.rows is not None
        return Times(ahead, starts_in, starts_in + self._left(export, counts, now) if known else None)

    def _left(self, export: Export, counts: Sequence[Counts], now: datetime) -> float:
        """Return the seconds left for an export with parts, from `now` on."""
        work = sum(self._work_left(export, each) for each in counts)
        undone = sum(each.parts - each.done for each in counts)
        lanes = min(self._lanes_now(export, counts, now), max(undone, 1))
        last = min(work / max(undone, 1), export_settings().part_seconds) / 2 * (1 - 1 / lanes)  # one lane ends last
        retry_at = max((each.retry_at for each in counts if each.retry_at), default=now)
        left = max(work / lanes + max(last, 0.0), (retry_at - now).total_seconds())
        return left + self._joining(export, counts)

    def _work_left(self, export: Export, counts: Counts) -> float:
        """Return the seconds of work left on the parts of one file."""
        rate, running_for = self._rate(export, counts), counts.running_for.total_seconds()
        rows, seconds = counts.done_rows, counts.done_seconds
        if counts.running_done:
            rows, seconds = rows + counts.running_done, seconds + running_for
        own = seconds / (seconds + (MEASURED_WEIGHT if rate.measured else DEFAULT_WEIGHT)) if rows else 0.0
        per_row = own * seconds / max(rows, 1) + (1 - own) * rate.seconds_per_row
        unrecorded = export_settings().progress_every / 2 * counts.running if counts.running_done else running_for
        begun = min(unrecorded, MOST_DONE * (counts.running_rows - counts.running_done) * per_row)
        return max(counts.rows - rows, 0) * per_row - begun

    def _lanes_now(self, export: Export, counts: Sequence[Counts], now: datetime) -> float:
        """Return the parallel parts: the export's own average, which gains weight over the usual number with time."""
        usual, trust = self.load.share(self._lanes(export)), export_settings().part_seconds
        spent = sum(each.done_seconds + each.running_for.total_seconds() for each in counts)
        since = max((now - export.started_at).total_seconds(), 0.0) if export.started_at else 0.0
        lanes = (spent + usual * trust) / (since + trust)
        return min(max(lanes, 0.1), float(self.load.places))

    def _joining_left(self, export: Export, counts: Sequence[Counts]) -> float | None:
        expected = self._joining(export, counts)
        held = export.claimed_at if export.lease_until else None
        left = expected - ((_now(counts) - held).total_seconds() if held else 0.0)
        return left if left > 0 else None

    def _joining(self, export: Export, counts: Sequence[Counts]) -> float:
        """Return the seconds left for assembling. The rate includes planning, so the seconds so far are subtracted."""
        rows = sum(each.rows for each in counts)
        if export.inside and (bundle := self._bundle(export.dataset, export.format)):
            return max(bundle.joining * rows - export.seconds, 0.0)
        usual = sum(each.rows * self._rate(export, each).joining_per_row for each in counts)
        return max(usual - export.seconds, 0.0)

    def _lanes(self, export: Export) -> float:
        return max((self._rate_of(content).lanes for content in export.contents), default=1.0)

    def _rate(self, export: Export, counts: Counts) -> Rate:
        return self._rate_of(export.contents[counts.content])

    def _bundle(self, dataset: str, kind: str) -> BundleRate | None:
        if (dataset, kind) not in self._bundles:
            self._bundles[dataset, kind] = bundle_rate(dataset, kind)
        return self._bundles[dataset, kind]

    def _rate_of(self, content: Content) -> Rate:
        if content not in self._rates:
            self._rates[content] = rate_of(content.dataset, content.format, len(content.fields) or None)
        return self._rates[content]


def _now(counts: Sequence[Counts]) -> datetime:
    """Return the time of the counts by the database's clock, or this machine's time if there are no counts."""
    return counts[0].now if counts else clock.now()
