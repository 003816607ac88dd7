"""Jobs survive their workers: each effect occurs exactly once. Uses real processes, Redis and databases."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from tests.acceptance.conftest import Start
from tests.support.console import Console, console
from tests.support.groups import members
from tests.support.stack import Stack, wait_until

JOBS = 200
ENQUEUE = f"""
Job.enqueue_group([Stamp(number=number, seconds=0.05) for number in range({JOBS})], then=Parcel(number=1))
"""
DONE = "print(Mark.objects.count())"
EFFECTS = "print(*sorted(Mark.objects.values_list('text', flat=True)), sep=',')"
REPEATED = "print(Stamp.objects.filter(attempt__gt=1, state='done').count())"
HOLDERS = "print(*Stamp.objects.held().values_list('leased_by', flat=True))"


def second_worker(stack: Stack) -> str:
    """Start another worker of the same queue. Return its name."""
    first, name = stack.programs["worker-high"], "worker-high-2"
    command = [part.replace("@%h", "-2@%h") for part in first.command]
    stack.programs[name] = replace(first, name=name, command=command)
    stack.start(name)
    wait_until(lambda: stack._logged_ready(name), what="the second worker")
    return name


def kill_amid_a_job(stack: Stack, name: str, shell: Console) -> None:
    """Send SIGKILL to a worker and its children while one of them holds a job."""
    group = stack.processes[name].pid

    def stopped_amid_a_job() -> bool:
        os.killpg(group, signal.SIGSTOP)
        holders = {int(holder.split(":")[-2]) for holder in shell.run(HOLDERS).split()}
        if holders & set(members(group)):
            return True
        os.killpg(group, signal.SIGCONT)
        return False

    wait_until(stopped_amid_a_job, what="a job of this worker")
    stack.kill(name)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_worker_killed_amid_many_jobs_loses_and_repeats_none(start: Start, database: str) -> None:
    stack = start("worker-high", database=database, seed=False)
    second_worker(stack)
    with console(stack) as shell:
        shell.run("from durable.jobs import Job; from tests.work.models import *")
        shell.run(ENQUEUE)
        wait_until(lambda: int(shell.run(DONE)) > JOBS // 4, what="a quarter of the jobs")
        kill_amid_a_job(stack, "worker-high", shell)
        assert int(shell.run(DONE)) < JOBS
        wait_until(lambda: int(shell.run(DONE)) > JOBS, 60, what="the parcel that follows all jobs")
        expected = sorted([*(f"stamp {number}" for number in range(JOBS)), "parcel 1"])
        assert shell.run(EFFECTS) == ",".join(expected)
        assert int(shell.run(REPEATED)) >= 1, "the jobs of the killed worker were run again"


def test_a_job_is_enqueued_from_the_shell(start: Start) -> None:
    stack = start("worker-high", seed=False)
    stack.shell("Stamp.enqueue(number=1, then=Parcel(number=2))")
    wait_until(lambda: "parcel 2" in stack.shell(EFFECTS), what="the parcel")


def test_a_job_that_takes_too_long_is_ended(start: Start) -> None:
    stack = start("worker-high", seed=False)
    reasons = "print(*Nap.objects.filter(state='failed').order_by('deep').values_list('reason', flat=True), sep='; ')"
    with console(stack) as shell:
        shell.run("from tests.work.models import *; Nap.enqueue(deep=True); Nap.enqueue(deep=False)")
        wait_until(lambda: ";" in shell.run(reasons), what="the failure of both")
        told, killed = shell.run(reasons).split("; ")
    assert "SoftTimeLimitExceeded" in told
    assert killed == "Attempt 1 ended without reporting a result: its process was killed, or took too long."
