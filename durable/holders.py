"""Names of the processes that hold leases. Their own machine can check by the name whether the process has ended.

Process ids are reused, and containers share host names. So a name also contains the start time of the process, and the
boot and process namespace in which its id is valid (proc(5), pid_namespaces(7)).
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from durable.conf import durable_settings

PROC = Path("/proc")
ENDED = frozenset("ZXx")
"""States of a process that has ended but that its parent has not waited for. A stopped process (T) may continue."""
_START_FIELD = 21
"""Index of `starttime`, the 22nd field of /proc/<pid>/stat: clock ticks since boot."""


class Holder(NamedTuple):
    """The parsed name of a process."""

    scope: str
    """"<host>:<boot and namespace>": where its id is valid."""
    pid: int
    start: str
    """Its start time, in clock ticks since boot."""

    def __str__(self) -> str:
        return f"{self.scope}:{self.pid}:{self.start}"


def holder(pid: int | None = None) -> str:
    """Return the name of a process of this machine, by default the current one: "web1:4f2a91bc:4242:893214"."""
    pid = pid or os.getpid()
    return str(Holder(scope(), pid, _start(pid) or "0"))


def is_dead(name: str) -> bool:
    """Return True if this process has certainly ended. Always False for a process of another machine."""
    found = _parsed(name)
    if found is None or found.scope != scope() or found.start == "0":
        return False
    start = _start(found.pid)
    return start != found.start if start is not None else not _exists(found.pid)


def names(pids: Iterable[int]) -> list[str]:
    """Return the names of those processes that are alive."""
    return [str(Holder(scope(), pid, start)) for pid, start in _living(pids)]


def scope() -> str:
    """Return the scope in which process ids of this process are valid. Outside of Linux, no process counts as dead."""
    return f"{socket.gethostname()[:100]}:{_namespace(durable_settings().machine)}"


@lru_cache
def _namespace(machine: str) -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {space} {machine}".encode()).hexdigest()[:8]


def _parsed(name: str) -> Holder | None:
    place, _, rest = name.rpartition(":")
    place, _, pid = place.rpartition(":")
    return Holder(place, int(pid), rest) if place and not place.endswith(":") and pid.isdecimal() else None


def _living(pids: Iterable[int]) -> Iterator[tuple[int, str]]:
    for pid in pids:
        if start := _start(pid):
            yield pid, start


def _exists(pid: int) -> bool:
    """Return whether the process exists. /proc may hide other users' processes (option hidepid); kill(2) does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _start(pid: int) -> str | None:
    """Return the start time of the process; "" if it has ended, None if /proc does not show it."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command name, in the parentheses, may contain any character
    return "" if fields[0] in ENDED else fields[_START_FIELD - 2]
