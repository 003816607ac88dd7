"""The `SEND_HINT` function of the tests: it records hints instead of sending them."""

from __future__ import annotations

from collections.abc import Sequence

sent: list[tuple[str, tuple[int, ...]]] = []
"""(task name, primary keys) in the order of sending. Cleared before each test."""


def send(task: str, pks: Sequence[int]) -> None:
    sent.append((task, tuple(pks)))


def refuse(task: str, pks: Sequence[int]) -> None:
    """Raise an error, as a broker that is down does."""
    raise ConnectionError("Redis is down")


def pks_of(task: str) -> list[int]:
    """Return the primary keys that were sent with this task."""
    return [pk for name, pks in sent if name == task for pk in pks]
