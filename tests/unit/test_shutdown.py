"""Tests of the duration of a worker's shutdown. Giving back with real workers is tested in test_deploys.py."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Task
from celery.worker import state

from deploy.processes import site
from durable import sweep
from durable.celery import shutdown
from durable.celery.shutdown import ENDS_WITHIN, Shutdown
from durable.celery.tasks import DurableTask
from durable.lease import LeaseLost
from durable.sweep import SweptModel
from tests.support.errands import claim, errand
from tests.work.models import Errand


@dataclass(eq=False)
class Job:
    """The part of Celery's Request that the shutdown uses: a task that runs in a child process."""

    task: Task[Any, Any]
    worker_pid: int
    time_start: float | None = 1.0

    @property
    def id(self) -> str:
        return f"{id(self)}"

    def cancel(self, pool: Any, signal: int, emit_retry: bool) -> None:
        state.requests.pop(self.id)
        done.append(f"killed {self.worker_pid} with {signal}")


class Ours(DurableTask):
    name = "tests.ours"


class Sites(Task[Any, Any]):
    name = "tests.sites"


done: list[str] = []
"""The actions of a shutdown."""


@pytest.fixture(autouse=True)
def _worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker with two children, of which none is real."""
    done.clear()
    children = [SimpleNamespace(pid=1), SimpleNamespace(pid=2)]
    monkeypatch.setattr(shutdown, "_give_back", lambda pids: done.append(f"gave back {pids}"))
    monkeypatch.setattr(shutdown, "active_children", lambda: children)
    monkeypatch.setattr(shutdown, "_has_children", lambda pool: pool.prefork)
    monkeypatch.setattr(shutdown, "LEAVING", 0.2)
    monkeypatch.setattr("durable.sweep.sweeper.stop", lambda: done.append("no sweep"))
    yield
    state.requests.clear()
    state.total_count.clear()


give_back = shutdown._give_back


def runs(task: Task[Any, Any], pid: int = 1, seconds: float = 60) -> None:
    """Let a child run a task for so long."""
    job = Job(task, pid)
    state.requests[job.id] = job
    state.total_count[task.name] += 1
    timer = threading.Timer(seconds, lambda: state.requests.pop(job.id, None))
    timer.daemon = True
    timer.start()


def shut_down(*graces: float, prefork: bool = True) -> float:
    """Shut down, and return the seconds that it took."""
    pool = SimpleNamespace(prefork=prefork, terminate_job=lambda pid, how: done.append(f"ended {pid}"))
    made = Shutdown()
    made._consumer = SimpleNamespace(pool=pool, app=SimpleNamespace(tasks={Ours.name: Ours(), Sites.name: Sites()}))
    for grace in graces:
        made.begin(grace)
    began = time.monotonic()
    made._run()
    return time.monotonic() - began


def test_without_tasks_idle_children_are_ended() -> None:
    assert shut_down(60) < 5
    assert done == ["no sweep", "ended 1", "ended 2"]


def test_tasks_that_end_in_time_are_not_given_back() -> None:
    runs(Ours(), seconds=0.3)
    assert 0.1 < shut_down(60) < 10
    assert done == ["no sweep", "ended 1", "ended 2"]


@pytest.mark.parametrize("graces", [(0.2,), (60, 0.2), (0.2, 60), (60, 60, 0)], ids=str)
def test_the_shortest_grace_counts(graces: tuple[float, ...]) -> None:
    runs(Ours())
    assert shut_down(*graces) < 10
    assert done == ["no sweep", "gave back [1]", "killed 1 with 9", "ended 1", "ended 2"]


def test_a_task_of_the_site_ends_by_itself() -> None:
    """Its child is not ended either: it may have more to do, and Celery waits for it."""
    runs(Sites(), 1, seconds=1)
    runs(Ours(), 2)
    assert shut_down(0.2) > 0.5  # the second began before
    assert done == ["no sweep", "gave back [2]", "killed 2 with 9"]


def test_a_pool_without_processes_gives_rows_back_and_kills_nothing() -> None:
    runs(Ours(), os.getpid(), seconds=0.5)
    shut_down(0, prefork=False)
    assert done == ["no sweep", f"gave back [{os.getpid()}]"]


def test_a_message_that_has_not_begun_is_not_waited_for() -> None:
    state.requests["1"] = Job(Sites(), 1, time_start=None)
    assert shut_down(0) < 5
    assert done == ["no sweep", "ended 1", "ended 2"]


def test_the_shutdown_does_not_wait_for_a_silent_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "GIVING_BACK", 0.2)
    monkeypatch.setattr(shutdown, "_give_back", lambda pids: time.sleep(1))
    runs(Ours())
    assert shut_down(0) < 10
    assert done == ["no sweep", "killed 1 with 9", "ended 1", "ended 2"]


def test_the_grace_begins_with_the_shutdown_and_not_with_the_worker() -> None:
    made = Shutdown()
    made.start(SimpleNamespace(pool=SimpleNamespace(prefork=False), app=SimpleNamespace(tasks={})))
    runs(Ours(), os.getpid(), seconds=1.5)
    time.sleep(0.6)
    made.begin(0.6)
    time.sleep(0.3)
    assert done == ["no sweep"]
    time.sleep(0.6)
    assert done == ["no sweep", f"gave back [{os.getpid()}]"]


def test_a_cold_shutdown_waits_until_rows_are_given_back() -> None:
    made = Shutdown()
    made.end_now()  # of a worker that has not started: nothing to do
    made.start(SimpleNamespace(pool=SimpleNamespace(prefork=False), app=SimpleNamespace(tasks={})))
    runs(Ours(), os.getpid(), seconds=0.5)
    made.end_now()
    assert done == ["no sweep", f"gave back [{os.getpid()}]"]


def test_the_process_manager_waits_longer_than_a_shutdown(tmp_path: Any) -> None:
    workers = [program for program in site(tmp_path, 8000) if program.name.startswith("worker")]
    assert all(ENDS_WITHIN < program.stop_seconds < DurableTask.soft_time_limit for program in workers)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("away", [False, True])
def test_rows_are_given_back(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    monkeypatch.setattr(sweep, "_swept", {Errand: SweptModel(Errand, park=lambda row: None)})
    if away:
        monkeypatch.setattr(sweep, "give_back", lambda names: 1 // 0)
    lease = claim(errand())
    thread = threading.Thread(target=give_back, args=[[os.getpid()]])
    thread.start()
    thread.join(20)
    assert Errand.objects.due().exists() is not away
    with pytest.raises(LeaseLost) if not away else nullcontext():
        lease.save(done_by="late")
