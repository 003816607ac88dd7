"""Tests of the duration of a worker's shutdown. Giving back with real workers is tested in test_deploys.py."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from celery.worker import state

from config.celeryconfig import SOFT_LIMIT
from deploy.processes import site
from durable import sweep
from durable.celery import shutdown
from durable.celery.shutdown import ENDS_WITHIN, Shutdown
from durable.lease import LeaseLost
from durable.sweep import SweptModel
from tests.support.errands import claim, errand
from tests.work.models import Errand


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the actions of a shutdown, without ending this process and its sweeper."""
    done: list[str] = []
    monkeypatch.setattr(shutdown, "_give_back", lambda: done.append("given back"))
    monkeypatch.setattr(shutdown, "_kill_children", lambda: done.append("killed"))
    monkeypatch.setattr(shutdown, "LEAVING", 0.2)
    monkeypatch.setattr("os._exit", lambda code: done.append(f"left with {code}"))
    monkeypatch.setattr("durable.sweep.sweeper.stop", lambda: done.append("no sweep"))
    return done


def shutdown_seconds(monkeypatch: pytest.MonkeyPatch, tasks: set[Any], *graces: float) -> float:
    """Shut down with these tasks running, and return the seconds that it took."""
    monkeypatch.setattr(state, "reserved_requests", tasks)
    shutting_down = Shutdown()
    for grace in graces:
        shutting_down.begin(grace)
    began = time.monotonic()
    shutting_down._run()
    return time.monotonic() - began


def test_without_tasks_the_worker_exits(monkeypatch: pytest.MonkeyPatch, actions: list[str]) -> None:
    assert shutdown_seconds(monkeypatch, set(), 60) < 5
    assert actions == ["no sweep", "killed", "left with 0"]


def test_tasks_that_end_in_time_are_not_given_back(monkeypatch: pytest.MonkeyPatch, actions: list[str]) -> None:
    tasks = {"a task"}
    threading.Timer(0.3, tasks.clear).start()
    assert 0.3 <= shutdown_seconds(monkeypatch, tasks, 60) < 10
    assert "given back" not in actions


@pytest.mark.parametrize("graces", [(0.2,), (60, 0.2), (0.2, 60), (60, 60, 0)], ids=str)
def test_the_shortest_grace_counts(
    monkeypatch: pytest.MonkeyPatch, actions: list[str], graces: tuple[float, ...]
) -> None:
    assert shutdown_seconds(monkeypatch, {"a task"}, *graces) < 10
    assert actions == ["no sweep", "given back", "killed", "left with 0"]


def test_the_shutdown_does_not_wait_for_a_silent_database(monkeypatch: pytest.MonkeyPatch, actions: list[str]) -> None:
    monkeypatch.setattr(shutdown, "GIVING_BACK", 0.2)
    monkeypatch.setattr(shutdown, "_give_back", partial(time.sleep, 1))
    assert shutdown_seconds(monkeypatch, {"a task"}, 0) < 10
    assert actions == ["no sweep", "killed", "left with 0"]


def test_the_process_manager_waits_longer_than_a_shutdown(tmp_path: Any) -> None:
    workers = [program for program in site(tmp_path, 8000) if program.name.startswith("worker")]
    assert all(ENDS_WITHIN < program.stop_seconds < SOFT_LIMIT for program in workers)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("away", [False, True])
def test_rows_are_given_back(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    monkeypatch.setattr(sweep, "_swept", {Errand: SweptModel(Errand, park=lambda row: None)})
    if away:
        monkeypatch.setattr(sweep, "give_back", lambda names: 1 // 0)
    lease = claim(errand())
    thread = threading.Thread(target=shutdown._give_back)
    thread.start()
    thread.join(20)
    assert Errand.objects.due().exists() is not away
    with pytest.raises(LeaseLost) if not away else nullcontext():
        lease.save(done_by="late")
