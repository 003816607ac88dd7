"""A worker that dies at the n-th thing it does, and the workers that come after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.db import connection

from exports.models import Export
from exports.storage import artifacts
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import sweep_now, work


def stride() -> int:
    """From one moment to the next that is tried: each on SQLite, and on PostgreSQL, which is the slower, each third."""
    return 3 if connection.vendor == "postgresql" else 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and what was not committed is gone."""


class Countdown:
    """Kills at the n-th thing that touches the database or the storage; `spent` once it has."""

    def __init__(self, moments: int) -> None:
        self.left, self.spent = moments, False

    def tick(self) -> None:
        self.left -= 1
        if self.left < 0 and not self.spent:
            self.spent = True
            raise Killed

    def on_statement(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.tick()
        return execute(*args)


@contextmanager
def killed_after(moments: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Countdown]:
    countdown = Countdown(moments)
    with monkeypatch.context() as patched, connection.execute_wrapper(countdown.on_statement):
        for name in ("store", "delete"):
            patched.setattr(artifacts, name, partial(countdown.on_statement, getattr(artifacts, name)))
        try:
            yield countdown
        except Killed:
            hints.sent.clear()  # the message that nobody acknowledged is lost with the broker, to make it worse


def wait_and_work(export: Export) -> None:
    """Every lease has lapsed, every message is lost, and the workers that are left go on."""
    for _ in range(6):
        rows = [export, *export.parts.all()]
        lapse(*rows)
        make_due(*rows)
        sweep_now()
        work(export)
