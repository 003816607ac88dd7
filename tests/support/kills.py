"""Test helpers that kill a worker at its n-th operation, and let other workers recover."""

from __future__ import annotations

import os
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
    """Return the step between tested moments: every moment in `make faults`, every third one elsewhere."""
    return 1 if os.environ.get("EVERY_MOMENT") else 3


class Killed(BaseException):
    """Simulates SIGKILL: no code catches it, and uncommitted changes are lost."""


class Countdown:
    """Raises Killed at the n-th operation on the database or the storage; `spent` is True afterwards."""

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
            hints.sent.clear()  # the unacknowledged message is lost as well, as if the broker had died too


def wait_and_work(export: Export) -> None:
    """Expire every lease, lose every message, and let the remaining workers finish `export`."""
    for _ in range(6):
        rows = [export, *export.parts.all()]
        lapse(*rows)
        make_due(*rows)
        sweep_now()
        work(export)
