"""The seconds of a worker's end; that its work is given back, test_deploys.py sees with real workers."""

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
from durable.sweep import Swept
from tests.support.errands import claim, errand
from tests.work.models import Errand


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done with the work; the process itself stays, and its sweeper too."""
    done: list[str] = []
    monkeypatch.setattr(shutdown, "_give_back", lambda: done.append("given back"))
    monkeypatch.setattr(shutdown, "_kill_children", lambda: done.append("killed"))
    monkeypatch.setattr(shutdown, "LEAVING", 0.2)
    monkeypatch.setattr("os._exit", lambda code: done.append(f"left with {code}"))
    monkeypatch.setattr("durable.sweep.sweeper.stop", lambda: done.append("no sweep"))
    return done


def ended(monkeypatch: pytest.MonkeyPatch, tasks: set[Any], *graces: float) -> float:
    """Seconds that the end took, with these tasks under way."""
    monkeypatch.setattr(state, "reserved_requests", tasks)
    leaving = Shutdown()
    for grace in graces:
        leaving.ask(grace)
    began = time.monotonic()
    leaving._run()
    return time.monotonic() - began


def test_nothing_to_do(monkeypatch: pytest.MonkeyPatch, given_back: list[str]) -> None:
    assert ended(monkeypatch, set(), 60) < 5
    assert given_back == ["no sweep", "killed", "left with 0"]


def test_what_ends_in_time_is_not_given_back(monkeypatch: pytest.MonkeyPatch, given_back: list[str]) -> None:
    tasks = {"a task"}
    threading.Timer(0.3, tasks.clear).start()
    assert 0.3 <= ended(monkeypatch, tasks, 60) < 10
    assert "given back" not in given_back


@pytest.mark.parametrize("graces", [(0.2,), (60, 0.2), (0.2, 60), (60, 60, 0)], ids=str)
def test_the_shortest_grace_counts(
    monkeypatch: pytest.MonkeyPatch, given_back: list[str], graces: tuple[float, ...]
) -> None:
    assert ended(monkeypatch, {"a task"}, *graces) < 10
    assert given_back == ["no sweep", "given back", "killed", "left with 0"]


def test_a_database_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, given_back: list[str]
) -> None:
    monkeypatch.setattr(shutdown, "GIVING_BACK", 0.2)
    monkeypatch.setattr(shutdown, "_give_back", partial(time.sleep, 1))
    assert ended(monkeypatch, {"a task"}, 0) < 10
    assert given_back == ["no sweep", "killed", "left with 0"]


def test_whoever_kills_waits_for_longer(tmp_path: Any) -> None:
    workers = [program for program in site(tmp_path, 8000) if program.name.startswith("worker")]
    assert all(ENDS_WITHIN < program.stop_seconds < SOFT_LIMIT for program in workers)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("away", [False, True])
def test_rows_are_open_to_anybody(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    monkeypatch.setattr(sweep, "_swept", {Errand: Swept(Errand, park=lambda row: None)})
    if away:
        monkeypatch.setattr(sweep, "give_back", lambda names: 1 // 0)
    lease = claim(errand())
    thread = threading.Thread(target=shutdown._give_back)
    thread.start()
    thread.join(20)
    assert Errand.objects.due().exists() is not away
    with pytest.raises(LeaseLost) if not away else nullcontext():
        lease.save(done_by="late")
