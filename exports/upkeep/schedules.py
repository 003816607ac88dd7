"""Schedules: their registry, their slots, and the run of a slot.

Schedules are stored in the database (django-celery-beat) and edited in the admin. The registry holds their initial
settings and their work. A tick does not do the work: it writes the row of the slot, UNIQUE(schedule, slot), and the
slot is then leased work like any other. So two Beats create one row, and the sweep of any worker creates the rows that
a missing Beat did not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from celery import current_task
from celery.signals import before_task_publish
from django.conf import settings
from django.db import router
from django.db.models import Max, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from durable.clock import Now, as_stored, aware, database_now
from durable.databases import atomic, has_table
from durable.hints import publish_on_commit
from durable.lease import Lease, LeaseLost
from durable.models import backoff
from exports.models import Slot
from exports.upkeep.crontab import newest_crontab, newest_interval

logger = logging.getLogger(__name__)
TICK = "schedule_tick"
"""The header that distinguishes Beat's message from a call by hand."""
GRACE = timedelta(seconds=20)
"""Time for a tick to arrive before the sweep treats its slot as missed."""
LATE = timedelta(minutes=1)
"""Time for a tick and the sweep after it before the doctor reports a run as missed."""
LOOK_BACK = timedelta(days=8)
"""How far back the doctor looks for runs: long enough for a run of a weekly schedule."""
SWEEP = "exports.tasks.sweep"
SWEEP_WORDS = "Sends lost hints again and closes exhausted work. Every worker does so too."


@dataclass(frozen=True)
class Schedule:
    """One schedule: the task that Beat calls, its initial crontab, and the work of its slots."""

    task: str
    name: str
    """Its initial name in the admin, where it can be changed."""
    description: str
    run: Callable[[], dict[str, Any]]
    """Does the work of one slot and returns its outcome, serialisable as JSON. Must be safe to repeat."""
    minute: str = "*"
    hour: str = "*"
    day_of_week: str = "*"
    labels: Mapping[str, str | Promise] = field(default_factory=dict)
    """Labels of the keys of an outcome in the admin. A key without a label is shown as it is."""
    deadline: timedelta = timedelta(hours=12)
    """A slot missed for longer is skipped: the next one does its work."""


_schedules: dict[str, Schedule] = {}


def register(schedule: Schedule) -> None:
    """Register a schedule. It replaces an earlier one for the same task."""
    _schedules[schedule.task] = schedule


def get(task: str) -> Schedule:
    """Return the schedule of a task. Raises KeyError."""
    return _schedules[task]


def registered() -> list[Schedule]:
    return list(_schedules.values())


def install() -> None:
    """Create missing periodic tasks. Those that an operator has changed or disabled are left alone.

    Does nothing until both tables are there: those of django-celery-beat may be in another database.
    """
    if not all(map(has_table, (PeriodicTask, Slot))):
        return
    tasks = PeriodicTask.objects.using(router.db_for_write(PeriodicTask))  # not of a replica
    for schedule in registered():
        with atomic(PeriodicTask):
            if not tasks.filter(task=schedule.task).exists():
                _create(schedule)
    if not tasks.filter(task=SWEEP).exists():
        every, _ = IntervalSchedule.objects.get_or_create(every=10, period=IntervalSchedule.SECONDS)
        _add(name="Sweep", task=SWEEP, interval=every, expire_seconds=10, description=SWEEP_WORDS)


def _create(schedule: Schedule) -> None:
    crontab, _ = CrontabSchedule.objects.get_or_create(
        minute=schedule.minute,
        hour=schedule.hour,
        day_of_week=schedule.day_of_week,
        day_of_month="*",
        month_of_year="*",
        timezone=settings.TIME_ZONE,
    )
    _add(name=schedule.name, task=schedule.task, crontab=crontab, description=schedule.description)
    # Slots before the installation must not run.
    now = database_now(Slot)
    Slot.objects.get_or_create(
        schedule=schedule.task,
        slot=now.replace(second=0, microsecond=0),
        defaults={
            "state": Slot.State.DONE,
            "next_attempt_at": None,
            "finished_at": now,
            "outcome": {"installed": True},
        },
    )


def _add(**fields: Any) -> None:
    """Create a periodic task. Its own `save` reads, and during a migration a replica may not have the table yet."""
    PeriodicTask.objects.bulk_create([PeriodicTask(**fields)])
    PeriodicTasks.update_changed()


def call(task: str) -> dict[str, Any]:
    """Handle a call of a schedule's task and return its outcome; {} for Beat's tick, whose slot runs separately.

    Any other call (`.delay()`, the task itself, the admin of periodic tasks) runs the work now, in a slot of its own. A
    redelivered message finds that slot, so its work is not repeated.
    """
    request = current_task.request if current_task else None
    if request is not None and request.get(TICK):
        tick(task)
        return {}
    call_id = getattr(request, "id", None) or str(uuid4())  # a plain task called as a function has a request without id
    slot, _ = Slot.objects.get_or_create(schedule=task, by_hand=call_id, defaults={"slot": database_now(Slot)})
    return run_slot(slot.pk)


def mark_ticks(**_: Any) -> None:
    """Mark the messages that this process publishes for schedules as ticks. Connected to the start of Beat."""
    before_task_publish.connect(_mark_tick)


def _mark_tick(sender: str = "", headers: Any = None, **_: Any) -> None:
    if sender in _schedules and headers is not None:
        headers[TICK] = True


def tick(task: str) -> int:
    """Handle Beat's message for a schedule: create its newest slot if missing. Return the number created."""
    return sum(_open_newest_slot(row, database_now(Slot)) for row in _periodic_tasks().filter(task=task))


def open_missed_slots() -> int:
    """Create the newest slot of each schedule whose tick did not arrive. Called by the sweep. Return the number."""
    now = database_now(Slot) - GRACE
    return sum(_open_newest_slot(row, now) for row in _periodic_tasks().filter(task__in=_schedules))


def _periodic_tasks() -> QuerySet[PeriodicTask]:
    timed = Q(crontab__isnull=False) | Q(interval__isnull=False)
    now = as_stored(database_now(Slot))
    begun = Q(start_time__isnull=True) | Q(start_time__lte=now)
    not_over = Q(expires__isnull=True) | Q(expires__gt=now)
    tasks: QuerySet[PeriodicTask] = PeriodicTask.objects.filter(timed, begun, not_over, enabled=True)
    return tasks.select_related("crontab", "interval")


def _newest_moment(row: PeriodicTask, now: datetime, horizon: timedelta) -> datetime | None:
    """Return the last run time of a periodic task at or before `now`, or None if it is further back than `horizon`."""
    return newest_crontab(row.crontab, now, horizon) if row.crontab else newest_interval(row.interval, now, horizon)


def missed_runs() -> dict[str, datetime]:
    """Return the due time, by name, of each enabled schedule whose newest run was not started."""
    due = {row: moment for row, moment in _due_runs() if row.task in _schedules}
    return {
        row.name: moment
        for row, moment in due.items()
        if not Slot.objects.filter(schedule=row.task, slot__gte=moment).exists()
    }


def missed_by_beat() -> datetime | None:
    """Return when Beat should have sent its newest message, or None if the database shows that it has sent it."""
    due = max((moment for _, moment in _due_runs()), default=None)
    sent = PeriodicTask.objects.aggregate(newest=Max("last_run_at"))["newest"]
    return due if due and (sent is None or _by_beat(sent) < due) else None


def _due_runs() -> Iterator[tuple[PeriodicTask, datetime]]:
    """Yield each enabled periodic task with its newest run time, unless it was edited after that time."""
    now = database_now(Slot) - LATE
    for row in _periodic_tasks():
        moment = _newest_moment(row, now, LOOK_BACK)
        # Beat also changes the row, each time it sends the task.
        changed = aware(row.date_changed)
        edited = row.last_run_at is None or changed - _by_beat(row.last_run_at) > LATE
        if moment is not None and not (edited and moment < changed):
            yield row, moment


def _by_beat(moment: datetime) -> datetime:
    """Return a time that Beat has written, aware: with USE_TZ=False, it writes UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def failed_runs() -> list[Slot]:
    """Return the newest slot of each schedule, if it has failed."""
    newest = (Slot.objects.filter(schedule=task).order_by("slot").last() for task in _schedules)
    return [slot for slot in newest if slot is not None and slot.state == Slot.State.FAILED]


def _open_newest_slot(row: PeriodicTask, now: datetime) -> int:
    moment = _newest_moment(row, now, get(row.task).deadline)
    if moment is None or Slot.objects.filter(schedule=row.task, slot__gte=moment, by_hand="").exists():
        return 0
    with atomic(Slot):
        slot, created = Slot.objects.get_or_create(schedule=row.task, slot=moment, defaults={"published_at": Now()})
        if created:
            publish_on_commit([slot])
    return int(created)


def run_slot(slot_pk: int) -> dict[str, Any]:
    """Do the work of one slot under its lease. Return its outcome, or {} if another worker holds the slot."""
    lease = Slot.objects.claim(slot_pk)
    if lease is None:
        return {}
    try:
        with lease:
            return _run(lease)
    except LeaseLost:
        return {}


def _run(lease: Lease[Slot]) -> dict[str, Any]:
    try:
        outcome = get(lease.work.schedule).run()
    except Exception as error:
        logger.exception("%s failed at attempt %d.", lease.work, lease.attempt)
        if not lease.last_attempt:
            lease.retry(backoff(lease.work.failures), outcome={"error": repr(error)})
            return {"error": repr(error)}
        lease.park(state=Slot.State.FAILED, finished_at=Now(), outcome={"error": repr(error)})
        return {"error": repr(error)}
    lease.finish(state=Slot.State.DONE, finished_at=Now(), outcome=outcome)
    return outcome


def in_words(slot: Slot) -> str:
    """Return the outcome or the status of a slot in one or two sentences, for the admin."""
    if error := slot.outcome.get("error"):
        failed = _("Failed: %s.") % str(error).rstrip(".")
        if slot.next_attempt_at is None:
            return failed
        again = timezone.localtime(slot.next_attempt_at)
        return f"{failed} " + _("It will be retried at %s.") % f"{again:%H:%M:%S}"
    if slot.state == Slot.State.WAITING:
        return _("Running.") if slot.lease_until else _("Waiting for a worker.")
    labels = _schedules[slot.schedule].labels if slot.schedule in _schedules else {}
    facts = [f"{labels.get(name, name)}: {value}" for name, value in slot.outcome.items() if value not in (0, None)]
    return ", ".join(facts) or _("There was nothing to do.")


def park(slot: Slot) -> None:
    """Fail a slot whose last attempt ended without reporting a result."""
    logger.error("%s: failed; attempt %d ended without reporting a result.", slot, slot.attempt)
    slot.dead_rows().update(
        state=Slot.State.FAILED,
        next_attempt_at=None,
        lease_until=None,
        finished_at=Now(),
        outcome={"error": "every attempt ended without reporting a result"},
    )
