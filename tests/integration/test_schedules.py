"""Tests of schedules: their installation, their slots, and calls by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import shared_task
from celery._state import _task_stack  # type: ignore[attr-defined]
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from pytest_django import Settings

from exports.models import Slot
from exports.upkeep import schedules
from exports.upkeep.schedules import Schedule
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import committed, sweep_now
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db
TASK = "tests.tick"
runs: list[str] = []
MORNING = datetime(2026, 7, 15, 3, 0, tzinfo=UTC)
INSTALLED = MORNING - timedelta(days=3)


def run() -> dict[str, Any]:
    runs.append("run")
    return {"count": len(runs)}


def faulty() -> dict[str, Any]:
    runs.append("faulty")
    raise ZeroDivisionError("no good")


@pytest.fixture(autouse=True)
def _one_schedule(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A single daily schedule at 03:00, installed three days ago."""
    runs.clear()
    monkeypatch.setattr(schedules, "_schedules", {})
    plan(run)
    PeriodicTask.objects.all().delete()
    Slot.objects.all().delete()
    set_database_time(monkeypatch, INSTALLED)
    schedules.install()
    yield


def plan(work: Any, **options: Any) -> None:
    options = {"minute": "0", "hour": "3"} | options
    schedules.register(Schedule(task=TASK, name="Tick", description="Ticks.", run=work, **options))


def set_database_time(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Set the clock of the database, the only one that schedules use."""
    monkeypatch.setattr(schedules, "database_now", lambda model: moment)


def tick() -> int:
    with committed():
        return schedules.tick(TASK)


def open_missed() -> int:
    with committed():
        return schedules.open_missed_slots()


def opened() -> list[datetime]:
    return list(Slot.objects.filter(slot__gt=INSTALLED).order_by("slot").values_list("slot", flat=True))


# --- installing -----------------------------------------------------------------------------------------------------


def test_installing_creates_editable_periodic_tasks() -> None:
    row = PeriodicTask.objects.get(task=TASK)
    assert (row.name, row.enabled, row.description) == ("Tick", True, "Ticks.")
    assert row.crontab is not None
    assert (row.crontab.minute, row.crontab.hour, row.crontab.day_of_week) == ("0", "3", "*")
    assert PeriodicTask.objects.get(task="exports.tasks.sweep").interval.every == 10


def test_installing_again_keeps_edits() -> None:
    noon = CrontabSchedule.objects.create(minute="0", hour="12")
    PeriodicTask.objects.filter(task=TASK).update(name="Mine", enabled=False, crontab=noon)
    before = list(PeriodicTask.objects.order_by("pk").values())
    schedules.install()
    assert list(PeriodicTask.objects.order_by("pk").values()) == before


def test_slots_before_the_installation_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, INSTALLED + timedelta(minutes=1))
    assert open_missed() == 0


# --- slots ----------------------------------------------------------------------------------------------------------


def test_a_tick_creates_its_slot_and_sends_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + timedelta(seconds=2))
    assert tick() == 1
    assert opened() == [MORNING]
    assert hints.sent == [("exports.tasks.run_slot", (Slot.objects.get(slot=MORNING).pk,))]


def test_repeated_ticks_create_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + timedelta(seconds=2))
    assert [tick(), tick(), open_missed()] == [1, 0, 0]
    assert opened() == [MORNING]


@pytest.mark.django_db(transaction=True)
def test_concurrent_ticks_create_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + timedelta(seconds=2))
    assert sum(at_once(*[lambda: schedules.tick(TASK)] * 3)) == 1
    assert opened() == [MORNING]
    assert len(hints.sent) == 1


def test_a_missed_tick_is_caught_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + schedules.GRACE - timedelta(seconds=1))
    assert open_missed() == 0, "Beat may still be about to tick"
    set_database_time(monkeypatch, MORNING + timedelta(hours=5))
    assert [open_missed(), open_missed(), tick()] == [1, 0, 0]
    assert opened() == [MORNING]


def test_a_slot_missed_past_its_deadline_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + timedelta(hours=12, minutes=2))
    assert open_missed() == 0


def test_a_slot_before_the_newest_is_never_created(monkeypatch: pytest.MonkeyPatch) -> None:
    Slot.objects.create(schedule=TASK, slot=MORNING + timedelta(days=1))
    set_database_time(monkeypatch, MORNING + timedelta(seconds=2))
    assert tick() == 0


def test_a_disabled_task_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    PeriodicTask.objects.filter(task=TASK).update(enabled=False)
    set_database_time(monkeypatch, MORNING + timedelta(minutes=5))
    assert [tick(), open_missed()] == [0, 0]


def test_a_task_runs_only_between_its_start_and_its_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    now = MORNING + timedelta(minutes=5)
    set_database_time(monkeypatch, now)
    PeriodicTask.objects.filter(task=TASK).update(start_time=now + timedelta(hours=1))
    assert [tick(), open_missed()] == [0, 0]
    PeriodicTask.objects.filter(task=TASK).update(start_time=None, expires=now - timedelta(hours=1))
    assert [tick(), open_missed()] == [0, 0]
    PeriodicTask.objects.filter(task=TASK).update(start_time=now - timedelta(hours=1), expires=None)
    assert tick() == 1


@pytest.mark.parametrize("wrong", [timedelta(hours=-1), timedelta(hours=1)], ids=["an hour behind", "an hour ahead"])
def test_a_wrong_clock_of_a_machine_does_not_affect_slots(monkeypatch: pytest.MonkeyPatch, wrong: timedelta) -> None:
    """Its Beat ticks at the wrong time, and its workers have the wrong time."""
    for really in (MORNING - wrong, MORNING + schedules.GRACE, MORNING + timedelta(hours=2)):
        set_database_time(monkeypatch, really)
        monkeypatch.setattr(timezone, "now", lambda moment=really: moment + wrong)
        tick()
        open_missed()
        assert opened() == ([MORNING] if really >= MORNING else [])


@pytest.mark.parametrize(
    ("installed", "moments", "slots"),
    [
        # The clock goes back at 03:00 in Berlin: 02:30 comes twice, at 00:30 and at 01:30 UTC.
        ("2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 03:00"], ["2026-10-25 00:30"]),
        # The clock goes forward at 02:00: there is no 02:30, and 03:00 is 01:00 UTC.
        ("2026-03-28 12:00", ["2026-03-29 00:59", "2026-03-29 01:00", "2026-03-29 01:30"], ["2026-03-29 01:00"]),
    ],
    ids=["twice", "never"],
)
def test_a_daily_slot_runs_once_in_the_night_of_a_dst_change(
    monkeypatch: pytest.MonkeyPatch, installed: str, moments: list[str], slots: list[str]
) -> None:
    berlin = CrontabSchedule.objects.create(minute="30", hour="2", timezone="Europe/Berlin")
    PeriodicTask.objects.filter(task=TASK).update(crontab=berlin)
    Slot.objects.update(slot=utc(installed))
    for moment in moments:
        set_database_time(monkeypatch, utc(moment) + timedelta(seconds=1))
        tick()
        open_missed()
    assert list(Slot.objects.filter(slot__gt=utc(installed)).values_list("slot", flat=True)) == [utc(*slots)]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_edited_crontab_applies_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    PeriodicTask.objects.filter(task=TASK).update(crontab=CrontabSchedule.objects.create(minute="30", hour="4"))
    set_database_time(monkeypatch, MORNING + timedelta(hours=2))
    assert open_missed() == 1
    assert opened() == [MORNING + timedelta(minutes=90)]


# --- running --------------------------------------------------------------------------------------------------------


def slot(**fields: Any) -> Slot:
    return Slot.objects.create(schedule=TASK, slot=MORNING, **fields)


def test_a_slot_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = slot()
    assert [schedules.run_slot(mine.pk), schedules.run_slot(mine.pk)] == [{"count": 1}, {}]
    mine.refresh_from_db()
    assert (mine.state, mine.outcome, runs) == (Slot.State.DONE, {"count": 1}, ["run"])
    assert mine.finished_at is not None


def test_a_failing_slot_is_retried_and_then_fails(settings: Settings) -> None:
    plan(faulty)
    mine = slot()
    for attempt in range(1, 6):
        assert "no good" in schedules.run_slot(mine.pk)["error"]
        mine.refresh_from_db()
        assert (mine.attempt, mine.state) == (attempt, "failed" if attempt == 5 else "waiting")
        make_due(mine)
    assert (len(runs), mine.outcome, mine.leased_by) == (5, {"error": "ZeroDivisionError('no good')"}, "")
    assert mine.seconds > 0


def test_the_sweep_fails_a_slot_that_kills_its_worker() -> None:
    mine = slot(attempt=4)
    assert Slot.objects.claim(mine.pk) is not None
    lapse(mine)
    assert sweep_now()["slot: parked"] == 1
    mine.refresh_from_db()
    assert (mine.state, "without reporting" in mine.outcome["error"]) == (Slot.State.FAILED, True)


def test_a_slot_taken_over_by_another_worker_is_not_written() -> None:
    mine = slot()

    def slow() -> dict[str, Any]:
        Slot.objects.filter(pk=mine.pk).update(attempt=2)
        return {}

    plan(slow)
    assert schedules.run_slot(mine.pk) == {}
    mine.refresh_from_db()
    assert mine.state == Slot.State.WAITING


def test_a_lost_hint_of_a_slot_is_sent_again() -> None:
    mine = slot()
    assert sweep_now()["slot: published"] == 1
    assert hints.pks_of("exports.tasks.run_slot") == [mine.pk]


def test_an_interval_can_replace_the_crontab(monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin offers intervals, so they must not be ignored."""
    hourly = IntervalSchedule.objects.create(every=6, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(task=TASK).update(crontab=None, interval=hourly)
    set_database_time(monkeypatch, MORNING + timedelta(minutes=7))
    assert [tick(), tick(), open_missed()] == [1, 0, 0]
    set_database_time(monkeypatch, MORNING + timedelta(hours=6))
    assert [tick(), open_missed()] == [1, 0]
    assert [moment.hour for moment in opened()] == [0, 6]


# --- by hand --------------------------------------------------------------------------------------------------------


def call(**request: Any) -> dict[str, Any]:
    """Handle a message with these headers, as a worker does."""
    tick_task.push_request(**request)
    _task_stack.push(tick_task)
    try:
        with committed():
            return schedules.call(TASK)
    finally:
        _task_stack.pop()
        tick_task.pop_request()


@shared_task(name=TASK)
def tick_task() -> dict[str, Any]:
    return schedules.call(TASK)


def test_a_call_by_hand_always_runs_immediately(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + timedelta(minutes=5))
    assert tick() == 1
    assert call(id="press 1") == {"count": 1}
    assert call(id="press 2") == {"count": 2}
    slots = Slot.objects.exclude(by_hand="").order_by("by_hand")
    assert [(slot.by_hand, slot.state, slot.outcome) for slot in slots] == [
        ("press 1", "done", {"count": 1}),
        ("press 2", "done", {"count": 2}),
    ]


def test_a_redelivered_call_by_hand_runs_once() -> None:
    assert [call(id="press 1"), call(id="press 1")] == [{"count": 1}, {}]
    assert len(runs) == 1


def test_a_function_call_runs_immediately() -> None:
    with committed():
        assert tick_task() == {"count": 1}
    assert Slot.objects.exclude(by_hand="").get().state == "done"


def test_a_call_by_hand_does_not_replace_the_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING + timedelta(minutes=1))
    call(id="press 1")
    assert [tick(), tick()] == [1, 0]


def test_beats_message_is_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    set_database_time(monkeypatch, MORNING)
    headers: dict[str, Any] = {}
    schedules._mark_tick(sender=TASK, headers=headers)
    assert call(id="message", **headers) == {}
    assert opened() == [MORNING]
    assert not Slot.objects.exclude(by_hand="").exists()


def test_another_worker_finishes_a_call_by_hand_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> dict[str, Any]:
        raise SystemExit

    plan(die)
    with pytest.raises(SystemExit):
        call(id="press 1")
    plan(run)
    slot = Slot.objects.exclude(by_hand="").get()
    lapse(slot)
    sweep_now()
    assert ("exports.tasks.run_slot", (slot.pk,)) in [(task, tuple(pks)) for task, pks in hints.sent]
    make_due(slot)
    schedules.run_slot(slot.pk)
    assert Slot.objects.get(pk=slot.pk).outcome == {"count": 1}
