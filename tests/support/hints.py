"""A broker that only remembers: the DURABLE SEND_HINT of the tests."""

from __future__ import annotations

from collections.abc import Sequence

sent: list[tuple[str, tuple[int, ...]]] = []
"""(task name, primary keys), in the order of sending. Emptied before each test."""


def send(task: str, pks: Sequence[int]) -> None:
    sent.append((task, tuple(pks)))


def refuse(task: str, pks: Sequence[int]) -> None:
    """A broker that is down."""
    raise ConnectionError("Redis is down")


def pks_of(task: str) -> list[int]:
    """The primary keys that were sent with this task."""
    return [pk for name, pks in sent if name == task for pk in pks]
