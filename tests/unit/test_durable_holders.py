"""Tests of process names, and of the check whether a process has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from durable import holders, sweep
from durable.clock import database_now
from durable.holders import holder, is_dead, names
from durable.lease import LeaseLost
from durable.sweep import SweptModel
from tests.support.errands import claim, errand, lapse
from tests.work.models import Errand


@pytest.fixture(autouse=True)
def _only_errands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_swept", {Errand: SweptModel(Errand, park=lambda row: None, publishes=None)})
    monkeypatch.setattr(sweep, "_chores", {})


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def test_a_running_process_is_not_dead() -> None:
    assert not is_dead(holder())
    assert names([os.getpid()]) == [holder()]


def test_a_stopped_process_is_not_dead() -> None:
    with sleeper() as child:
        name = holder(child.pid)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert not is_dead(name)


def test_a_killed_process_is_dead_before_its_parent_waits_for_it() -> None:
    with sleeper() as child:
        name = holder(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(name)
        child.wait()
        assert is_dead(name)
        assert names([child.pid]) == []


def test_a_reused_process_id_is_another_process() -> None:
    scope, pid, start = holder().rsplit(":", 2)
    assert is_dead(f"{scope}:{pid}:{int(start) - 1}")


@pytest.mark.parametrize("name", ["", "web1", "web1:12", "a:b:c:d", "elsewhere:0a1b2c3d:999999999:5"])
def test_processes_of_other_machines_and_invalid_names_are_not_dead(name: str) -> None:
    assert not is_dead(name)


def test_machines_with_different_settings_ignore_each_others_processes(settings: Settings) -> None:
    scope, pid, start = holder().rsplit(":", 2)
    settings.CARRYALL = settings.CARRYALL | {"MACHINE": "another"}
    assert not is_dead(f"{scope}:{pid}:{int(start) - 1}")


def test_a_process_hidden_in_proc_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    name = holder()
    monkeypatch.setattr(holders, "PROC", Path("/nonexistent"))
    assert not is_dead(name)


def test_names_fit_the_column() -> None:
    longest = Errand._meta.get_field("leased_by").max_length
    assert longest is not None
    assert len(holder()) < longest


@pytest.mark.django_db
def test_the_sweep_frees_rows_of_dead_processes() -> None:
    mine, theirs = claim(errand()), claim(errand())
    scope, pid, start = holder().rsplit(":", 2)
    Errand.objects.filter(pk=theirs.work.pk).update(leased_by=f"{scope}:{pid}:{int(start) - 1}")

    done = sweep.sweep()

    assert done["errand: freed"] == 1
    assert Errand.objects.claim(theirs.work.pk) is not None
    assert Errand.objects.claim(mine.work.pk) is None
    with pytest.raises(LeaseLost):
        theirs.save()


@pytest.mark.django_db
def test_giving_back_opens_rows_without_counting_the_attempt() -> None:
    lease = claim(errand(attempt_limit=1))
    other = claim(errand())

    assert sweep.give_back([lease.work.leased_by]) == 2, "both are held by this process"

    for write in (lease.save, lease.finish, other.finish):
        with pytest.raises(LeaseLost):
            write()
    again = Errand.objects.claim(lease.work.pk)
    assert again is not None
    assert (again.attempt, again.work.attempt_limit) == (2, 2)


@pytest.mark.django_db
def test_reopening_fences_off_the_earlier_holder() -> None:
    lease = claim(errand(attempt_limit=1))
    lapse(lease.work)
    Errand.objects.filter(pk=lease.work.pk).update(next_attempt_at=None, lease_until=None)

    assert Errand.objects.filter(pk=lease.work.pk).reopen(3) == 1
    assert Errand.objects.filter(pk=lease.work.pk).reopen(3) == 0, "it is open already"

    again = Errand.objects.claim(lease.work.pk)
    assert again is not None
    assert (again.attempt, again.work.attempt_limit) == (3, 5)
    with pytest.raises(LeaseLost):
        lease.save()


@pytest.mark.django_db
def test_database_now_is_aware_and_does_not_go_back() -> None:
    first, second = database_now(Errand), database_now(Errand)
    assert first.utcoffset() is not None
    assert first <= second
