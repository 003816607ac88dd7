"""Metrics for monitoring, read from the database: every web process returns the same values.

Rows that wait or run are counted in partial indexes of open rows, and what has ended in the last hour by indexes on the
end. No query reads the history, and their number does not depend on the data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Q, Sum

from durable.celery import site
from durable.clock import Now, database_now
from durable.models import Work, WorkQuerySet
from durable.sweep import swept_models
from durable.workers import Worker
from exports.conf import export_settings
from exports.models import Export, ExportQuerySet, Part, Slot, Volume
from exports.pipeline import window
from exports.states import State
from exports.upkeep import schedules
from notifications import counts

RECENT = timedelta(hours=1)
"""The period of the metrics that end in `_last_hour`."""
PERCENTILES = (50, 95, 100)
OUTCOMES: dict[str, str] = {
    State.READY: "ready",
    State.EXPIRED: "ready",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
"""State of a finished export -> label. An expired one has been ready."""


class Metric(NamedTuple):
    """A gauge: its name, its text for people, and the names of its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


TASK = ("queue", "task")
WAITING = Metric(
    "carryall_waiting", "Rows that are due and that no worker holds, by the task that continues them.", TASK
)
OLDEST = Metric("carryall_oldest_waiting_seconds", "Seconds since the oldest waiting row became due.", TASK)
RUNNING = Metric("carryall_running", "Rows that a worker holds.", TASK)
LATER = Metric(
    "carryall_later", "Open rows that are due later: retries, and deliveries with a time of their own.", TASK
)
RETRYING = Metric("carryall_retrying", "Open rows with at least one failed or lost attempt.", TASK)
LEASES_LOST = Metric(
    "carryall_leases_lost",
    "Open rows whose lease ran out before the work ended, and that wait for another worker.",
    TASK,
)
WINDOW = Metric("carryall_window_used", "Places taken in a window: messages sent or running.", ("window",))
WINDOW_SIZE = Metric("carryall_window_size", "Places in a window, by the workers that are alive.", ("window",))
WORKERS = Metric("carryall_workers", "Workers that are alive, by the queue that they serve.", ("queue",))
PROCESSES = Metric("carryall_worker_processes", "Tasks that these workers can run at once.", ("queue",))
ENDED = Metric("carryall_exports_ended_last_hour", "Exports that ended.", ("outcome", "format"))
FAILED = Metric("carryall_exports_parked_last_hour", "Exports that failed for good, by error code.", ("error",))
DURATION = Metric(
    "carryall_export_duration_seconds_last_hour",
    "Seconds from the request to the finished file, of exports that became ready. Percentile 100 is the slowest.",
    ("percentile",),  # promtool allows `quantile` in summaries alone
)
ROWS = Metric("carryall_rows_last_hour", "Rows in the exports that became ready.", ("format",))
BYTES = Metric("carryall_bytes_last_hour", "Bytes of the files of the exports that became ready.", ("format",))
SPEED = Metric(
    "carryall_rows_per_second_last_hour",
    "Rows for each second that workers rendered, in exports that ended.",
    ("format",),
)
PARTS = Metric("carryall_parts_last_hour", "Parts of the exports that ended.", ("format",))
ATTEMPTS = Metric("carryall_part_attempts_last_hour", "Attempts at these parts. One each is the best.", ("format",))
PENDING = Metric("carryall_deliveries_pending", "Deliveries that are neither sent nor given up.", ("channel",))
SENT = Metric("carryall_deliveries_sent_last_hour", "Deliveries that were sent.", ("channel",))
NOT_SENT = Metric("carryall_deliveries_parked_last_hour", "Deliveries that failed for good.", ("channel",))
BEAT_LAG = Metric("carryall_beat_lag_seconds", "Seconds since Beat should have sent a message that is missing, else 0.")
SCHEDULE_FAILED = Metric(
    "carryall_schedule_failed", "1 if the newest run of the schedule failed, else 0.", ("schedule",)
)

METRICS = (
    WAITING, OLDEST, RUNNING, LATER, RETRYING, LEASES_LOST, WINDOW, WINDOW_SIZE, WORKERS,
    PROCESSES, ENDED, FAILED, DURATION, ROWS, BYTES,
    SPEED, PARTS, ATTEMPTS, PENDING, SENT, NOT_SENT, BEAT_LAG, SCHEDULE_FAILED,
)  # fmt: skip

Values = dict[Metric, dict[tuple[str, ...], float]]
"""Metric -> values of its labels -> value."""


def read() -> Values:
    """Return the current values of all metrics. Raises any database error."""
    now = database_now(Export)
    values: Values = {metric: {} for metric in METRICS}
    for task, rows in _open_rows():
        _count_open(values, (_queue(task), task), rows, now)
    _read_windows(values)
    _read_workers(values)
    _read_ended(values)
    _read_deliveries(values)
    _read_schedules(values, now)
    return values


# --- open rows ------------------------------------------------------------------------------------------------------


def _open_rows() -> Iterator[tuple[str, WorkQuerySet[Any]]]:
    """Yield the name of each task with the open rows that it continues: one query for each."""
    exports, parts = Export.objects.open(), Part.objects.open()
    assembling = exports.filter(state=State.ASSEMBLING)
    rendering = Export.objects.rendering()
    quick = Q(rows__lte=export_settings().small_rows, has_uploads=False)
    yield "exports.tasks.plan_export", exports.filter(state=State.QUEUED)
    yield "exports.tasks.render_small_part", parts.filter(export__in=rendering.small())
    yield "exports.tasks.render_part", parts.filter(export__in=rendering.big())
    yield "exports.tasks.assemble_small_export", assembling.filter(quick)
    yield "exports.tasks.assemble_export", assembling.exclude(quick)
    for model in swept_models():
        if model not in (Export, Part):
            yield model().hint(), model._default_manager.open()  # type: ignore[attr-defined]


def _queue(task: str) -> str:
    """Return the Celery queue of a task, by the site's task_routes. "" if the site sends hints in another way."""
    return "" if site.fault() else site.queue_of(task)


def _count_open(values: Values, labels: tuple[str, ...], rows: WorkQuerySet[Work], now: datetime) -> None:
    held = Q(lease_until__gt=Now())
    unheld = Q(lease_until__isnull=True) | Q(lease_until__lte=Now())
    waiting = unheld & Q(next_attempt_at__lte=Now())
    before = F("attempt_limit") - rows.model.attempts_given()  # attempts before the row was opened, or not counted
    found = rows.order_by().aggregate(
        waiting=Count("pk", filter=waiting),
        oldest=Min("next_attempt_at", filter=waiting),
        running=Count("pk", filter=held),
        later=Count("pk", filter=unheld & Q(next_attempt_at__gt=Now())),
        retrying=Count("pk", filter=unheld & Q(attempt__gt=before) | held & Q(attempt__gt=before + 1)),
        lost=Count("pk", filter=Q(lease_until__lte=Now())),
    )
    values[WAITING][labels] = found["waiting"]
    values[OLDEST][labels] = max(0.0, (now - found["oldest"]).total_seconds()) if found["oldest"] else 0.0
    values[RUNNING][labels] = found["running"]
    values[LATER][labels] = found["later"]
    values[RETRYING][labels] = found["retrying"]
    values[LEASES_LOST][labels] = found["lost"]


def _read_windows(values: Values) -> None:
    rendering, in_flight = Export.objects.rendering(), Part.objects.in_flight()
    size = window.sizes()
    values[WINDOW_SIZE] = {("plans",): size.plans, ("small parts",): size.small, ("parts",): size.parts}
    values[WINDOW]["plans",] = len(window.planning())
    values[WINDOW]["small parts",] = in_flight.filter(export__in=rendering.small()).count()
    values[WINDOW]["parts",] = in_flight.filter(export__in=rendering.big()).count()


def _read_workers(values: Values) -> None:
    for queues, processes in Worker.objects.alive().values_list("queues", "processes"):
        for queue in queues:
            values[WORKERS][queue,] = values[WORKERS].get((queue,), 0) + 1
            values[PROCESSES][queue,] = values[PROCESSES].get((queue,), 0) + processes


# --- what ended in the last hour ------------------------------------------------------------------------------------


def _read_ended(values: Values) -> None:
    ended = Export.objects.filter(finished_at__gte=Now() - RECENT).order_by()
    delivered = ended.filter(state__in=[State.READY, State.EXPIRED])
    exports: dict[tuple[str, ...], float] = defaultdict(int)
    rows: dict[tuple[str, ...], float] = defaultdict(int)
    size: dict[tuple[str, ...], float] = defaultdict(int)
    for found in ended.values("state", "format").annotate(count=Count("pk"), rows_=Sum("rows"), size_=Sum("size")):
        outcome = OUTCOMES.get(found["state"], found["state"])
        exports[outcome, found["format"]] += found["count"]
        if outcome == "ready":
            rows[found["format"],] += found["rows_"] or 0
            size[found["format"],] += found["size_"] or 0
    volumes = Volume.objects.filter(export__in=delivered).order_by().values_list("export__format")
    for kind, more in volumes.annotate(Sum("size")):
        size[kind,] += more
    values[ENDED], values[ROWS], values[BYTES] = exports, rows, size
    failed: Any = ended.filter(state=State.FAILED).values_list("error_code").annotate(Count("pk"))
    values[FAILED] = {(code,): count for code, count in failed}
    _read_durations(values, delivered, sum(count for (outcome, _), count in exports.items() if outcome == "ready"))
    _read_parts(values, ended)


def _read_durations(values: Values, delivered: ExportQuerySet, count: float) -> None:
    took = ExpressionWrapper(F("finished_at") - F("requested_at"), output_field=DurationField())
    durations = delivered.annotate(took=took).order_by("took").values_list("took", flat=True)
    for percentile in PERCENTILES:
        place = max(0, round(count * percentile / 100) - 1)
        found = durations[place : place + 1]
        values[DURATION][str(percentile),] = next((each.total_seconds() for each in found), 0.0)


def _read_parts(values: Values, ended: ExportQuerySet) -> None:
    parts = Part.objects.filter(export__in=ended).order_by().values("export__format")
    sums = parts.annotate(count=Count("pk"), attempts=Sum("attempt"), rows_=Sum("rows_done"), spent=Sum("seconds"))
    for found in sums:
        labels = (found["export__format"],)
        values[PARTS][labels] = found["count"]
        values[ATTEMPTS][labels] = found["attempts"]
        if found["spent"]:
            values[SPEED][labels] = found["rows_"] / found["spent"]


def _read_deliveries(values: Values) -> None:
    for metric, found in (
        (PENDING, counts.pending()),
        (SENT, counts.sent_within(RECENT)),
        (NOT_SENT, counts.failed_within(RECENT)),
    ):
        values[metric] = {(channel,): count for channel, count in found.items()}


# --- schedules ------------------------------------------------------------------------------------------------------


def _read_schedules(values: Values, now: datetime) -> None:
    missed = schedules.missed_by_beat()
    values[BEAT_LAG][()] = (now - missed).total_seconds() if missed else 0.0
    for schedule in schedules.registered():
        newest = (
            Slot.objects.filter(schedule=schedule.task, by_hand="").order_by("-slot").values_list("state", flat=True)
        )
        values[SCHEDULE_FAILED][schedule.task,] = int(newest.first() == Slot.State.FAILED)
