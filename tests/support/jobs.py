"""Test helpers for jobs: run one as a worker does, and read what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from durable import attempts
from durable.jobs import Job
from tests.work.models import ACTS, Mark, Stamp


def work(job: Job) -> Any:
    """Run one attempt as a worker does on a message. Return the row as it is afterwards."""
    attempts.work(type(job), job.pk)
    return fresh(job)


def fresh(job: Job) -> Any:
    """Return the row from the database."""
    return type(job).objects.get(pk=job.pk)


def marks() -> list[str]:
    """Return the effects of all jobs, in order."""
    return list(Mark.objects.order_by("pk").values_list("text", flat=True))


@contextmanager
def acting(name: str, act: Callable[[Stamp], Any]) -> Iterator[None]:
    """Let stamps with this `act` call a function with themselves in `run`, and return its result."""
    ACTS[name] = act
    try:
        yield
    finally:
        del ACTS[name]


@contextmanager
def raising(error: BaseException) -> Iterator[None]:
    """Let stamps with the act "fail" raise this error in `run`."""

    def fail(_stamp: Stamp) -> None:
        raise error

    with acting("fail", fail):
        yield
