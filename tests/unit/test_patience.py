"""A task whose database is away waits for it. Real workers: tests/acceptance/test_database_faults.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import InterfaceError, OperationalError, transaction

from config.celery import app
from durable import patience
from durable.celery.patient import Patient
from durable.celery.shutdown import GRACE
from durable.patience import PAUSES

pytestmark = pytest.mark.django_db(transaction=True)


class Away(Patient):
    """A task that fails so many times."""

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
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.mark.parametrize("error", [OperationalError("refused"), InterfaceError("closed")], ids=repr)
def test_it_is_run_again_until_the_database_answers(error: Exception, slept: list[float]) -> None:
    task = Away(2, error)
    assert (task(7), task.runs, slept) == (7, 3, list(PAUSES[:2]))


def test_it_does_not_wait_for_ever(slept: list[float]) -> None:
    task = Away(100, OperationalError("refused"))
    with pytest.raises(OperationalError):
        task(7)
    assert slept == list(PAUSES)
    assert sum(slept) < GRACE


def test_a_bug_is_raised_at_once(slept: list[float]) -> None:
    with pytest.raises(ValueError, match="a bug"):
        Away(1, ValueError("a bug"))(7)
    assert slept == []


def test_inside_of_a_transaction_it_is_for_the_caller_to_know(slept: list[float]) -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        Away(1, OperationalError("refused"))(7)
    assert slept == []


def test_every_task_is_such_a_one() -> None:
    app.loader.import_default_modules()
    ours = [task for name, task in app.tasks.items() if not name.startswith("celery.")]
    assert ours
    assert all(isinstance(task, Patient) for task in ours)
