"""Schedules are edited in the admin and take effect while Beat runs."""

from __future__ import annotations

from tests.acceptance.conftest import Start
from tests.support.sql import select
from tests.support.stack import STAFF, Stack, wait_until

PURGE = "exports.tasks.purge_expired_exports"


def last_run(stack: Stack) -> str:
    ((moment,),) = select(stack, "SELECT last_run_at FROM django_celery_beat_periodictask WHERE task = ?", PURGE)
    return str(moment or "")


def test_an_edit_in_the_admin_reaches_a_running_beat(start: Start) -> None:
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
