"""Run the probes of `manage.py doctor`: check the installation as it is now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections

from exports.upkeep.probes import FACTS, PROBES

PROBE_SECONDS = 60.0
"""Time limit of a probe. An unreachable bucket takes 40 s; listing fonts is slow on a busy machine."""


@dataclass(frozen=True)
class Finding:
    """The result of one probe. `text` says what is wrong and how to fix it, or else a fact or "ok"."""

    subject: str
    ok: bool
    text: str


def examine() -> Iterator[Finding]:
    """Run all probes and yield their findings. A probe that raises is a finding too."""
    for subject, probe in PROBES.items():
        try:
            with _bounded(PROBE_SECONDS):
                fault = probe()
                text = fault or FACTS.get(subject, lambda: "ok")()
        except _TimedOut:
            connections.close_all()  # a query may be in progress
            fault = text = f"no answer within {PROBE_SECONDS:g} s: check the server or the disk that it uses."
        except Exception as error:  # noqa: BLE001 - the other probes must still run
            fault = text = f"could not be checked: {error!r}"
        yield Finding(subject, not fault, text)


class _TimedOut(BaseException):
    """A probe took too long. Not an Exception, so that an `except Exception` in a probe does not catch it."""


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Raise _TimedOut in the block after `seconds`. Works only in the main thread; other threads are not limited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise _TimedOut

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
