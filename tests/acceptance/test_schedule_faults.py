"""Faults of schedules: two Beats, a dying Beat, no Beat, and wrong clocks. Each slot runs once, and not too early.

The tests share one site with a worker, and each starts the Beats that it needs. The task results show what ran.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from tests.support.console import Console, console
from tests.support.skewed import skewed
from tests.support.stack import Stack, running, wait_until

PURGE, CLEAN_UP = "exports.tasks.purge_expired_exports", "exports.tasks.clean_up_results"
SENT = "Sending due task Nightly purge"
SET_UP = """
from datetime import timedelta
from django_celery_beat.models import CrontabSchedule, IntervalSchedule
from durable.clock import database_now

def fresh():
    PeriodicTask.objects.exclude(name="Sweep").update(enabled=False)
    Slot.objects.all().delete()
    TaskResult.objects.all().delete()

def plan(task, **when):
    "Give the task this schedule, last run by Beat a day ago."
    row = PeriodicTask.objects.get(task=task)
    kind = IntervalSchedule if "every" in when else CrontabSchedule
    chosen, _ = kind.objects.get_or_create(**when)
    row.interval, row.crontab = (chosen, None) if "every" in when else (None, chosen)
    row.enabled, row.last_run_at = True, database_now(Slot) - timedelta(days=1)
    row.save()
"""
SLOTS = """
import json
slots = list(Slot.objects.order_by("slot").values_list("pk", "schedule", "slot", "state", "attempt"))
ran = TaskResult.objects.filter(task_name="exports.tasks.run_slot", status="SUCCESS").exclude(result="{}")
print(json.dumps({"slots": slots, "ran": list(ran.values_list("task_args", flat=True))}, default=str))
"""


class Ran(NamedTuple):
    """A slot's row, and the number of times that its work was done."""

    schedule: str
    slot: datetime
    state: str
    attempt: int
    times: int


class Clock:
    """The site, with methods that read its slots and change its schedules."""

    def __init__(self, stack: Stack, shell: Console) -> None:
        self.stack, self.shell = stack, shell
        shell.run(SET_UP)

    def slots(self, task: str = PURGE) -> list[Ran]:
        found = json.loads(self.shell.run(SLOTS))
        return [
            Ran(
                schedule, datetime.fromisoformat(slot), state, attempt, sum(f"({pk},)" in args for args in found["ran"])
            )
            for pk, schedule, slot, state, attempt in found["slots"]
            if schedule == task
        ]

    def done(self, task: str = PURGE) -> list[Ran]:
        """Return all slots of the task if every one of them has run, or []."""
        slots = self.slots(task)
        return slots if all(slot.state == "done" and slot.times for slot in slots) else []

    def assert_once(self, task: str = PURGE) -> list[Ran]:
        """Wait for all slots of the task, and assert that each has run once, at its first attempt."""
        slots: list[Ran] = wait_until(lambda: self.done(task), what=f"the slots of {task}")
        assert [(slot.state, slot.attempt, slot.times) for slot in slots] == [("done", 1, 1)] * len(slots)
        return slots

    def ticks(self, beat: str) -> int:
        return (self.stack.folder / f"{beat}.log").read_text().count(SENT)

    def daily_at(self, moment: datetime, task: str = PURGE) -> datetime:
        """Schedule the task daily at this minute. Return the minute."""
        minute = moment.replace(second=0, microsecond=0)
        self.shell.run(f"plan({task!r}, minute='{minute.minute}', hour='{minute.hour}')")
        return minute

    @contextmanager
    def beats(self, *names: str) -> Iterator[None]:
        self.stack.start(*names)
        try:
            yield
        finally:
            for name in names:
                self.stack.kill(name)
                (self.stack.folder / f"{name}.log").unlink()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clock]:
    with running(tmp_path_factory.mktemp("clock"), "worker-high") as stack, console(stack) as shell:
        beat = stack.programs["beat"]
        stack.programs |= {"beat-2": replace(beat, name="beat-2"), "beat-early": skewed(beat, 3600)}
        stack.programs["worker-late"] = skewed(stack.programs["worker-high"], -3600)
        yield Clock(stack, shell)


@pytest.fixture
def clock(site: Clock) -> Clock:
    """The site with all schedules disabled and no slots."""
    site.shell.run("fresh()")
    return site


def test_two_beats_run_each_slot_once(clock: Clock) -> None:
    clock.shell.run(f"plan({PURGE!r}, every=2, period='seconds')")
    with clock.beats("beat", "beat-2"):
        wait_until(lambda: min(clock.ticks("beat"), clock.ticks("beat-2")) >= 4, what="four ticks of both")
    slots = clock.assert_once()
    assert len(slots) >= 4
    assert all(slot.slot.timestamp() % 2 == 0 for slot in slots)


def test_a_repeated_tick_of_a_beat_that_died_runs_nothing_again(clock: Clock) -> None:
    clock.shell.run(f"plan({PURGE!r}, every=1, period='hours')")
    with clock.beats("beat"):
        wait_until(lambda: clock.ticks("beat") and clock.done(), what="the first tick")
    first = clock.assert_once()
    clock.shell.run(f"plan({PURGE!r}, every=1, period='hours')")  # as if the tick had not been recorded
    with clock.beats("beat"):
        wait_until(lambda: clock.ticks("beat"), what="the second tick")
        time.sleep(1)
    assert clock.assert_once()[:1] == first
    assert len(clock.slots()) <= 2, "at most one more slot, if a new hour has begun in between"


def test_a_missed_slot_runs_once_and_only_within_its_deadline(clock: Clock) -> None:
    now = datetime.now(UTC)
    missed = clock.daily_at(now - timedelta(minutes=5))
    clock.daily_at(now - timedelta(hours=13), CLEAN_UP)
    (slot,) = clock.assert_once()
    assert slot.slot == missed
    # The message that Beat sends late for a missed slot.
    clock.shell.run("clean_up_results.apply_async(headers={'schedule_tick': True})")
    with clock.beats("beat"):  # this Beat considers the other schedule due
        wait_until(lambda: clock.ticks("beat"), what="the late tick")
        time.sleep(1)
    assert clock.assert_once() == [slot]
    assert clock.slots(CLEAN_UP) == [], "it ran outside its schedule"


def test_clocks_an_hour_off_run_nothing_early_or_twice(clock: Clock) -> None:
    """Beat's clock is an hour ahead and the worker's an hour behind. The database's clock decides."""
    clock.stack.kill("worker-high")
    clock.stack.start("worker-late")
    now = datetime.now(UTC)
    clock.daily_at(now + timedelta(minutes=30))
    missed = clock.daily_at(now - timedelta(minutes=5), CLEAN_UP)
    with clock.beats("beat-early"):
        wait_until(lambda: clock.ticks("beat-early"), what="a tick half an hour too early")
        (slot,) = clock.assert_once(CLEAN_UP)
        time.sleep(1)
    assert slot.slot == missed
    assert clock.assert_once(CLEAN_UP) == [slot]
    assert clock.slots() == [], "it ran too early"
