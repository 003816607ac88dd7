"""A control group with a memory limit that triggers the kernel's OOM killer, if this machine allows creating one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LIMIT = 100 << 20
"""Limit in bytes. Memory that a process allocated before it joined the group does not count."""


@contextmanager
def memory_group() -> Iterator[str]:
    """Yield the folder of a control group with LIMIT, or "" if creating one needs root.

    cgroup v1 (cgroups(7)) has a separate folder per controller, v2 one tree for all of them.
    """
    for parent, limit in ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
        group = parent / f"carryall-test-{os.getpid()}"
        if _create(group, limit):
            try:
                yield str(group)
            finally:
                _remove(group)
            return
    yield ""


def _create(group: Path, limit: str) -> bool:
    if not (group.parent / "cgroup.procs").exists():  # the folder is not a control group
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
    for _ in range(50):  # the kernel needs some time after the last process has ended
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
