"""Peak memory of the processes of a running site."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.meter import peak_mb

EVERY = 0.2
"""Seconds between two polls. The kernel keeps the peak, so only a process that ends between two polls is missed."""


@contextmanager
def peaks(roots: Iterable[tuple[str, int]]) -> Iterator[dict[str, float]]:
    """Record, during the block, the highest peak in MB of each root process and its descendants, by the root's name."""
    found: dict[str, float] = {}
    processes, stop = list(roots), threading.Event()

    def poll() -> None:
        for name, pid in processes:
            for each in (pid, *descendants(pid)):
                found[name] = max(found.get(name, 0.0), _peak(each))

    def watch() -> None:
        while not stop.wait(EVERY):
            poll()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        poll()


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of all descendants of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # the process has ended
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def _peak(pid: int) -> float:
    try:
        return peak_mb(pid)
    except OSError:
        return 0.0
