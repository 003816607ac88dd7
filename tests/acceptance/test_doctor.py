"""Tests of `manage.py doctor` on a running site."""

from __future__ import annotations

from tests.acceptance.conftest import Start
from tests.support.skewed import skewed
from tests.support.stack import Stack, wait_until

AN_HOUR_AGO = """
from datetime import timedelta
from durable.clock import database_now
an_hour_ago = database_now(Slot) - timedelta(hours=1)
PeriodicTask.objects.update(last_run_at=an_hour_ago, date_changed=an_hour_ago)
"""


def faults(stack: Stack) -> list[str]:
    """Return the faults that the doctor reports, except for the fonts of this machine."""
    output = stack.manage("doctor", check=False).splitlines()
    return [line for line in output if line.startswith("FAULT") and not line.startswith("FAULT fonts")]


def test_doctor_reports_a_stopped_beat_and_a_wrong_clock(start: Start) -> None:
    stack = start("web", "worker-high", "worker-bulk", "beat")
    wait_until(lambda: "beat: Starting" in stack.log, what="Beat's start")
    wait_until(lambda: not faults(stack), 60, 1, what="a site without faults")

    stack.stop("beat")
    stack.stop("worker-bulk")
    stack.shell(AN_HOUR_AGO)
    stack.programs["worker-bulk"] = skewed(stack.programs["worker-bulk"], 90)
    (stack.folder / "worker-bulk.log").unlink()
    stack.start("worker-bulk")
    stack.await_workers()

    found = faults(stack)
    assert [line.split(":")[0] for line in found] == ["FAULT Beat", "FAULT clocks"], found
    assert "celery -A config.celery beat" in found[0]
    assert "s ahead of this machine's: synchronise both with NTP." in found[1]
