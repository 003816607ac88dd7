"""Tests of schedules in the admin: edits take effect while Beat runs, and tasks can be run by hand."""

from __future__ import annotations

from tests.acceptance.conftest import Start
from tests.support.sql import select
from tests.support.stack import STAFF, Stack, wait_until

PURGE = "exports.tasks.purge_expired_exports"


def last_run(stack: Stack) -> str:
    ((moment,),) = select(stack, "SELECT last_run_at FROM django_celery_beat_periodictask WHERE task = ?", PURGE)
    return str(moment or "")


def test_a_running_beat_applies_an_edit_in_the_admin(start: Start) -> None:
    stack = start("web", "worker-high", "beat")
    pk, every_minute = stack.shell(
        f"print(PeriodicTask.objects.get(task={PURGE!r}).pk, CrontabSchedule.objects.get(minute='*', hour='*').pk)"
    ).split()
    staff = stack.signed_in(STAFF).browser
    wait_until(lambda: "beat: Starting" in stack.log, what="Beat's start")
    assert last_run(stack) == ""

    page = f"/admin/django_celery_beat/periodictask/{pk}/change/"
    form = staff.get(page).form("crontab")
    typed = {"crontab": every_minute, "enabled": "on", "args": "[]", "kwargs": "{}", "headers": "{}"}
    answer = staff.post(page, form.fields | typed)
    assert answer.status == 302, answer.reason()

    wait_until(lambda: last_run(stack), 90, 1, what="Beat's run of the edited schedule")
    done = "SELECT 1 FROM exports_slot WHERE schedule = ? AND state = 'done' AND outcome LIKE '%expired%'"
    wait_until(lambda: select(stack, done, PURGE), 30, 0.5, what="the slot's work")


def by_hand(stack: Stack) -> list[str]:
    rows = select(stack, "SELECT state, outcome FROM exports_slot WHERE schedule = ? AND by_hand <> ''", PURGE)
    return [str(outcome) for state, outcome in rows if state == "done"]


def test_a_call_by_hand_runs_independently_of_beat(start: Start) -> None:
    """Calls from the shell and from the periodic tasks' admin run once each, independent of the schedule."""
    stack = start("web", "worker-high", "beat")
    wait_until(lambda: "beat: Starting" in stack.log, what="Beat's start")
    stack.shell("purge_expired_exports.delay()")
    wait_until(lambda: len(by_hand(stack)) == 1, 30, 0.5, what="the work of a call from the shell")

    pk = stack.shell(f"print(PeriodicTask.objects.get(task={PURGE!r}).pk)").strip()
    staff = stack.signed_in(STAFF).browser
    page = "/admin/django_celery_beat/periodictask/"
    assert "Run selected tasks" in staff.get(page).text
    form = staff.get(page).form("action")
    pressed = staff.post(page, form.fields | {"action": "run_tasks", "_selected_action": pk, "index": "0"})
    assert pressed.status == 302, pressed.reason()
    assert "/admin/exports/slot/?by_hand=1" in staff.get(page).text
    wait_until(lambda: len(by_hand(stack)) == 2, 30, 0.5, what="the work of a press in the admin")
    assert staff.get("/admin/exports/slot/?by_hand=1").text.count("There was nothing to do.") == 2
    assert all("expired" in outcome for outcome in by_hand(stack))

    reminder = "SELECT by_hand FROM exports_slot WHERE schedule = 'exports.tasks.remind_of_expiring_exports'"
    wait_until(lambda: len(select(stack, reminder)) > 1, 90, 1, what="a tick of Beat")
    assert all(by == "" for (by,) in select(stack, reminder)), "Beat's message was recorded as a call by hand"
