"""Tests of tasks that wait for an unavailable database. Real workers: tests/acceptance/test_database_faults.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import InterfaceError, OperationalError, transaction

from config.celery import app
from durable import retries
from durable.celery.shutdown import GRACE
from durable.celery.tasks import DurableTask
from durable.retries import PAUSES

pytestmark = pytest.mark.django_db(transaction=True)


class Away(DurableTask):
    """A task that raises `error` on its first `times` runs."""

    name = "tests.away"

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.runs = times, error, 0

    def run(self, pk: int) -> int:
        self.runs += 1
        if self.runs <= self.left:
            raise self.error
        return pk


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.mark.parametrize("error", [OperationalError("refused"), InterfaceError("closed")], ids=repr)
def test_a_task_runs_again_until_the_database_answers(error: Exception, slept: list[float]) -> None:
    task = Away(2, error)
    assert (task(7), task.runs, slept) == (7, 3, list(PAUSES[:2]))


def test_a_task_does_not_wait_forever(slept: list[float]) -> None:
    task = Away(100, OperationalError("refused"))
    with pytest.raises(OperationalError):
        task(7)
    assert slept == list(PAUSES)
    assert sum(slept) < GRACE


def test_a_bug_is_raised_at_once(slept: list[float]) -> None:
    with pytest.raises(ValueError, match="a bug"):
        Away(1, ValueError("a bug"))(7)
    assert slept == []


def test_inside_a_transaction_the_error_is_raised_at_once(slept: list[float]) -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        Away(1, OperationalError("refused"))(7)
    assert slept == []


def test_every_task_of_ours_is_patient() -> None:
    app.loader.import_default_modules()
    ours = [task for name, task in app.tasks.items() if name.startswith(("exports.", "notifications."))]
    assert ours
    assert all(isinstance(task, DurableTask) for task in ours)
