"""A small group of processes in which the kernel's OOM killer really comes, where this machine lets us make one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LIMIT = 100 << 20
"""Bytes; what a process had before it came is not counted."""


@contextmanager
def memory_group() -> Iterator[str]:
    """The folder of a control group with LIMIT; empty where only the administrator could make one.

    cgroup v1 (cgroups(7)) has the controller in a folder of its own, v2 the one tree for all of them.
    """
    for parent, limit in ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
        group = parent / f"carryall-test-{os.getpid()}"
        if _made(group, limit):
            try:
                yield str(group)
            finally:
                _remove(group)
            return
    yield ""


def _made(group: Path, limit: str) -> bool:
    if not (group.parent / "cgroup.procs").exists():  # no control group, though perhaps a folder
        return False
    try:
        group.mkdir()
    except OSError:
        return False
    try:
        (group / limit).write_text(str(LIMIT))
    except OSError:
        _remove(group)
        return False
    return True


def _remove(group: Path) -> None:
    for _ in range(50):  # the kernel needs a moment after the last process
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
