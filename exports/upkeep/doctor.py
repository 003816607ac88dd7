"""Run the probes of `manage.py doctor`: check the installation as it is now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

from exports.upkeep.probes import PROBES

PROBE_SECONDS = 60.0
"""What one probe may take: a bucket that does not answer takes 40 s, fonts are slow to list on a busy machine."""


@dataclass(frozen=True)
class Finding:
    """One probe's answer: what was looked at, whether it is well, and else what is wrong and how to fix it."""

    subject: str
    well: bool
    words: str


def examine() -> Iterator[Finding]:
    """Run every probe; one that raises is itself a finding."""
    for subject, probe in PROBES.items():
        try:
            with _bounded(PROBE_SECONDS):
                fault = probe()
        except _Overdue:
            connection.close()  # it may be in the middle of a query
            fault = f"did not answer within {PROBE_SECONDS:g} s: look at the server or the disk behind it."
        except Exception as error:  # noqa: BLE001 - the other probes still have something to say
            fault = f"could not be looked at: {error!r}"
        yield Finding(subject, not fault, fault or "well")


class _Overdue(BaseException):
    """A probe took too long. No Exception: what a probe catches of its libraries must not catch this."""


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Raise _Overdue inside when it takes longer. Only the main thread can be interrupted; others wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise _Overdue

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
