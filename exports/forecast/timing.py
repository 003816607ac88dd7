"""How long exports that are under way will take: by what is measured of them, and before that by the site's rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, Q, Sum
from django.db.models.functions import Now
from django.utils import timezone

from exports.conf import export_settings
from exports.errors import ExportError
from exports.forecast.load import Load, load_beside
from exports.models import Content, Export, Part
from exports.pipeline.rates import BundleRate, Rate, bundle_rate, rate_of
from exports.states import PartState, State

IDLE_SECONDS = 15.0
"""When nobody works and an export waits longer than this, nobody can say when somebody will."""
TRUST, GUESSED = 1.5, 0.2
"""Seconds of an export's own work that a measured rate weighs as much as, and a guessed one."""
NEARLY = 0.9
"""How much of a running part counts as done at most, however long it has run."""

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


@dataclass(frozen=True)
class Times:
    """Seconds, and the exports ahead; each None when it cannot be told, or is over."""

    ahead: int | None = None
    starts_in: float | None = None
    seconds_left: float | None = None


@dataclass
class Outlook:
    """Tells the times of one owner's exports; what the workers have to do and each rate is asked once."""

    owner_pk: int
    newest: int
    """The largest primary key among the exports."""
    _rates: dict[Content, Rate] = field(default_factory=dict)
    _bundles: dict[tuple[str, str], BundleRate | None] = field(default_factory=dict)

    @cached_property
    def load(self) -> Load:
        return load_beside(self.owner_pk, self.newest)

    def times(self, export: Export, counts: Sequence[Counts]) -> Times:
        """The times of `export`, whose parts are these."""
        try:
            if export.state == State.ASSEMBLING:
                return Times(seconds_left=self._joining_left(export, counts))
            if any(each.begun for each in counts):
                return Times(seconds_left=self._left(export, counts, _now(counts)))
            return self._before(export, counts) if export.is_open else Times()
        except ExportError:  # the code of its format is gone
            return Times()

    def _before(self, export: Export, counts: Sequence[Counts]) -> Times:
        """Before its first part has begun."""
        now = _now(counts)
        waited = (now - (export.started_at or export.requested_at)).total_seconds()
        due = max(((export.next_attempt_at or now) - now).total_seconds(), 0.0)  # tried again: only then
        ahead = self.load.ahead(export.pk)
        if not self.load.running and waited > IDLE_SECONDS and not due:
            return Times(ahead)
        published = any(each.published for each in counts)
        starts_in = max(self.load.wait(export.pk, self._lanes(export), published=published), due)
        return Times(ahead, starts_in, starts_in + self._left(export, counts, now) if counts else None)

    def _left(self, export: Export, counts: Sequence[Counts], now: datetime) -> float:
        """From now on, for parts that are being written."""
        work = sum(self._work_left(export, each) for each in counts)
        undone = sum(each.parts - each.done for each in counts)
        lanes = min(self._lanes_now(export, counts, now), max(undone, 1))
        last = min(work / max(undone, 1), export_settings().part_seconds) / 2 * (1 - 1 / lanes)  # one of them is last
        retry_at = max((each.retry_at for each in counts if each.retry_at), default=now)
        left = max(work / lanes + max(last, 0.0), (retry_at - now).total_seconds())
        return left + self._joining(export, counts)

    def _work_left(self, export: Export, counts: Counts) -> float:
        """Seconds of work on the parts of one file that are not done."""
        rate, running_for = self._rate(export, counts), counts.running_for.total_seconds()
        rows, seconds = counts.done_rows, counts.done_seconds
        if counts.running_done:
            rows, seconds = rows + counts.running_done, seconds + running_for
        own = seconds / (seconds + (TRUST if rate.measured else GUESSED)) if rows else 0.0
        per_row = own * seconds / max(rows, 1) + (1 - own) * rate.seconds_per_row
        unsaid = export_settings().progress_every / 2 * counts.running if counts.running_done else running_for
        begun = min(unsaid, NEARLY * (counts.running_rows - counts.running_done) * per_row)
        return max(counts.rows - rows, 0) * per_row - begun

    def _lanes_now(self, export: Export, counts: Sequence[Counts], now: datetime) -> float:
        """Parts at a time: what it has had since it began, and the less of that there is, what is usual."""
        usual, trust = self.load.share(self._lanes(export)), export_settings().part_seconds
        spent = sum(each.done_seconds + each.running_for.total_seconds() for each in counts)
        since = max((now - export.started_at).total_seconds(), 0.0) if export.started_at else 0.0
        lanes = (spent + usual * trust) / (since + trust)
        return min(max(lanes, 0.1), float(export_settings().window))

    def _joining_left(self, export: Export, counts: Sequence[Counts]) -> float | None:
        expected = self._joining(export, counts)
        held = export.claimed_at if export.lease_until else None
        left = expected - ((_now(counts) - held).total_seconds() if held else 0.0)
        return left if left > 0 else None

    def _joining(self, export: Export, counts: Sequence[Counts]) -> float:
        """Seconds of making the file of the parts; the planning, which the rate holds too, is behind it."""
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
    """The database's clock where it has just been asked."""
    return counts[0].now if counts else timezone.now()
