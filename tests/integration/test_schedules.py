"""What runs by the clock: a slot is a row first, so two Beats make one, and a missed tick is caught up once."""

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
ran: list[str] = []
MORNING = datetime(2026, 7, 15, 3, 0, tzinfo=UTC)
INSTALLED = MORNING - timedelta(days=3)


def run() -> dict[str, Any]:
    ran.append("run")
    return {"count": len(ran)}


def faulty() -> dict[str, Any]:
    ran.append("faulty")
    raise ZeroDivisionError("no good")


@pytest.fixture(autouse=True)
def _one_schedule(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One daily schedule at 03:00, installed three days ago, and nothing else."""
    ran.clear()
    monkeypatch.setattr(schedules, "_schedules", {})
    plan(run)
    PeriodicTask.objects.all().delete()
    Slot.objects.all().delete()
    at(monkeypatch, INSTALLED)
    schedules.install()
    yield


def plan(work: Any, **options: Any) -> None:
    options = {"minute": "0", "hour": "3"} | options
    schedules.register(Schedule(task=TASK, name="Tick", description="Ticks.", run=work, **options))


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """The database's clock says so; that of the machine says nothing that counts."""
    monkeypatch.setattr(schedules, "database_now", lambda: moment)


def tick() -> int:
    with committed():
        return schedules.tick(TASK)


def open_missed() -> int:
    with committed():
        return schedules.open_missed_slots()


def opened() -> list[datetime]:
    return list(Slot.objects.filter(slot__gt=INSTALLED).order_by("slot").values_list("slot", flat=True))


# --- installing -----------------------------------------------------------------------------------------------------


def test_installing_writes_what_an_operator_can_edit() -> None:
    row = PeriodicTask.objects.get(task=TASK)
    assert (row.name, row.enabled, row.description) == ("Tick", True, "Ticks.")
    assert row.crontab is not None
    assert (row.crontab.minute, row.crontab.hour, row.crontab.day_of_week) == ("0", "3", "*")
    assert PeriodicTask.objects.get(task="exports.tasks.sweep").interval.every == 10


def test_installing_again_never_overwrites_an_edit() -> None:
    noon = CrontabSchedule.objects.create(minute="0", hour="12")
    PeriodicTask.objects.filter(task=TASK).update(name="Mine", enabled=False, crontab=noon)
    before = list(PeriodicTask.objects.order_by("pk").values())
    schedules.install()
    assert list(PeriodicTask.objects.order_by("pk").values()) == before


def test_what_was_due_before_the_installation_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, INSTALLED + timedelta(minutes=1))
    assert open_missed() == 0


# --- slots ----------------------------------------------------------------------------------------------------------


def test_a_tick_opens_its_slot_and_tells_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + timedelta(seconds=2))
    assert tick() == 1
    assert opened() == [MORNING]
    assert hints.sent == [("exports.tasks.run_slot", (Slot.objects.get(slot=MORNING).pk,))]


def test_ticks_of_one_slot_open_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + timedelta(seconds=2))
    assert [tick(), tick(), open_missed()] == [1, 0, 0]
    assert opened() == [MORNING]


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_the_same_moment_open_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + timedelta(seconds=2))
    assert sum(at_once(*[lambda: schedules.tick(TASK)] * 3)) == 1
    assert opened() == [MORNING]
    assert len(hints.sent) == 1


def test_a_missed_tick_is_caught_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + schedules.GRACE - timedelta(seconds=1))
    assert open_missed() == 0, "Beat may still be about to tick"
    at(monkeypatch, MORNING + timedelta(hours=5))
    assert [open_missed(), open_missed(), tick()] == [1, 0, 0]
    assert opened() == [MORNING]


def test_what_was_missed_for_too_long_is_left_to_the_next_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + timedelta(hours=12, minutes=2))
    assert open_missed() == 0


def test_a_slot_before_the_newest_is_never_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    Slot.objects.create(schedule=TASK, slot=MORNING + timedelta(days=1))
    at(monkeypatch, MORNING + timedelta(seconds=2))
    assert tick() == 0


def test_what_is_switched_off_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    PeriodicTask.objects.filter(task=TASK).update(enabled=False)
    at(monkeypatch, MORNING + timedelta(minutes=5))
    assert [tick(), open_missed()] == [0, 0]


def test_what_has_not_begun_or_is_over_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    at(monkeypatch, MORNING + timedelta(minutes=5))
    PeriodicTask.objects.filter(task=TASK).update(start_time=now + timedelta(hours=1))
    assert [tick(), open_missed()] == [0, 0]
    PeriodicTask.objects.filter(task=TASK).update(start_time=None, expires=now - timedelta(hours=1))
    assert [tick(), open_missed()] == [0, 0]
    PeriodicTask.objects.filter(task=TASK).update(start_time=now - timedelta(hours=1), expires=None)
    assert tick() == 1


@pytest.mark.parametrize("wrong", [timedelta(hours=-1), timedelta(hours=1)], ids=["an hour behind", "an hour ahead"])
def test_a_machine_whose_clock_is_wrong_opens_no_slot_early_late_or_twice(
    monkeypatch: pytest.MonkeyPatch, wrong: timedelta
) -> None:
    """Its Beat ticks at the wrong moment, and its workers' Python says the wrong time."""
    for really in (MORNING - wrong, MORNING + schedules.GRACE, MORNING + timedelta(hours=2)):
        at(monkeypatch, really)
        monkeypatch.setattr(timezone, "now", lambda moment=really: moment + wrong)
        tick()
        open_missed()
        assert opened() == ([MORNING] if really >= MORNING else [])


@pytest.mark.parametrize(
    ("installed", "moments", "slots"),
    [
        # Put back at 03:00 in Berlin: 02:30 comes twice, at 00:30 and at 01:30 UTC.
        ("2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 03:00"], ["2026-10-25 00:30"]),
        # Put forward at 02:00: there is no 02:30, and 03:00 is 01:00 UTC.
        ("2026-03-28 12:00", ["2026-03-29 00:59", "2026-03-29 01:00", "2026-03-29 01:30"], ["2026-03-29 01:00"]),
    ],
    ids=["twice", "never"],
)
def test_a_daily_slot_runs_once_in_a_night_whose_clock_is_changed(
    monkeypatch: pytest.MonkeyPatch, installed: str, moments: list[str], slots: list[str]
) -> None:
    berlin = CrontabSchedule.objects.create(minute="30", hour="2", timezone="Europe/Berlin")
    PeriodicTask.objects.filter(task=TASK).update(crontab=berlin)
    Slot.objects.update(slot=utc(installed))
    for moment in moments:
        at(monkeypatch, utc(moment) + timedelta(seconds=1))
        tick()
        open_missed()
    assert list(Slot.objects.filter(slot__gt=utc(installed)).values_list("slot", flat=True)) == [utc(*slots)]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_edited_crontab_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    PeriodicTask.objects.filter(task=TASK).update(crontab=CrontabSchedule.objects.create(minute="30", hour="4"))
    at(monkeypatch, MORNING + timedelta(hours=2))
    assert open_missed() == 1
    assert opened() == [MORNING + timedelta(minutes=90)]


# --- running --------------------------------------------------------------------------------------------------------


def slot(**fields: Any) -> Slot:
    return Slot.objects.create(schedule=TASK, slot=MORNING, **fields)


def test_a_slot_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = slot()
    assert [schedules.run_slot(mine.pk), schedules.run_slot(mine.pk)] == [{"count": 1}, {}]
    mine.refresh_from_db()
    assert (mine.state, mine.outcome, ran) == (Slot.State.DONE, {"count": 1}, ["run"])
    assert mine.finished_at is not None


def test_a_failing_slot_is_tried_again_and_parked(settings: Settings) -> None:
    plan(faulty)
    mine = slot()
    for attempt in range(1, 6):
        assert "no good" in schedules.run_slot(mine.pk)["error"]
        mine.refresh_from_db()
        assert (mine.attempt, mine.state) == (attempt, "failed" if attempt == 5 else "waiting")
        make_due(mine)
    assert (len(ran), mine.outcome, mine.leased_by) == (5, {"error": "ZeroDivisionError('no good')"}, "")
    assert mine.seconds > 0


def test_a_slot_that_kills_its_worker_is_parked_by_the_sweep() -> None:
    mine = slot(attempt=4)
    assert Slot.objects.claim(mine.pk) is not None
    lapse(mine)
    assert sweep_now()["slot: parked"] == 1
    mine.refresh_from_db()
    assert (mine.state, "without reporting" in mine.outcome["error"]) == (Slot.State.FAILED, True)


def test_a_slot_that_was_taken_over_ends_quietly() -> None:
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


def test_an_interval_in_place_of_the_crontab_runs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin offers intervals, so one must not be ignored in silence."""
    hourly = IntervalSchedule.objects.create(every=6, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(task=TASK).update(crontab=None, interval=hourly)
    at(monkeypatch, MORNING + timedelta(minutes=7))
    assert [tick(), tick(), open_missed()] == [1, 0, 0]
    at(monkeypatch, MORNING + timedelta(hours=6))
    assert [tick(), open_missed()] == [1, 0]
    assert [moment.hour for moment in opened()] == [0, 6]


# --- by hand --------------------------------------------------------------------------------------------------------


def call(**request: Any) -> dict[str, Any]:
    """What a worker does with a message of these headers."""
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


def test_a_call_by_hand_runs_now_whatever_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + timedelta(minutes=5))
    assert tick() == 1
    assert call(id="press 1") == {"count": 1}
    assert call(id="press 2") == {"count": 2}
    slots = Slot.objects.exclude(by_hand="").order_by("by_hand")
    assert [(slot.by_hand, slot.state, slot.outcome) for slot in slots] == [
        ("press 1", "done", {"count": 1}),
        ("press 2", "done", {"count": 2}),
    ]


def test_a_message_by_hand_that_comes_again_runs_once() -> None:
    assert [call(id="press 1"), call(id="press 1")] == [{"count": 1}, {}]
    assert len(ran) == 1


def test_a_function_call_runs_now() -> None:
    with committed():
        assert tick_task() == {"count": 1}
    assert Slot.objects.exclude(by_hand="").get().state == "done"


def test_the_next_tick_runs_all_the_same_after_a_call_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING + timedelta(minutes=1))
    call(id="press 1")
    assert [tick(), tick()] == [1, 0]


def test_beats_message_is_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MORNING)
    headers: dict[str, Any] = {}
    schedules._mark_tick(sender=TASK, headers=headers)
    assert call(id="message", **headers) == {}
    assert opened() == [MORNING]
    assert not Slot.objects.exclude(by_hand="").exists()


def test_a_call_by_hand_whose_worker_was_killed_is_finished_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
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
