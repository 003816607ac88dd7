"""The memory of everything that a site runs, looked at while it works."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.meter import peak_mb

EVERY = 0.2
"""Seconds between two looks. A peak outlives the moment: only a process that ends between two looks is missed."""


@contextmanager
def peaks(roots: Iterable[tuple[str, int]]) -> Iterator[dict[str, float]]:
    """While the block runs, the highest peak in MB among each root process and its descendants, by the root's name."""
    found: dict[str, float] = {}
    known, over = list(roots), threading.Event()

    def look() -> None:
        for name, pid in known:
            for each in (pid, *descendants(pid)):
                found[name] = max(found.get(name, 0.0), _peak(each))

    def watch() -> None:
        while not over.wait(EVERY):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        look()


def descendants(pid: int) -> Iterator[int]:
    """Process ids of the children, theirs, and so on."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def _peak(pid: int) -> float:
    try:
        return peak_mb(pid)
    except OSError:
        return 0.0
