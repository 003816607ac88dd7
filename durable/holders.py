"""Who holds a lease: a name for a process by which its own machine can tell whether the process has ended.

Process ids are used again, and containers share host names; so a name also says when its process started, and within
which boot and process namespace its id means anything (proc(5), pid_namespaces(7)).
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
"""States of a process that has ended and whose parent has not asked yet; a stopped one (T) may come back."""
_START_FIELD = 21
"""`starttime`, the 22nd field of /proc/<pid>/stat: in clock ticks since boot."""


class Holder(NamedTuple):
    """A process, as its name says it."""

    scope: str
    """"<host>:<boot and namespace>": where its id means something."""
    pid: int
    start: str
    """The moment it started, in clock ticks since boot."""

    def __str__(self) -> str:
        return f"{self.scope}:{self.pid}:{self.start}"


def holder(pid: int | None = None) -> str:
    """The name of a process of this machine, this one by default: "web1:4f2a91bc:4242:893214"."""
    pid = pid or os.getpid()
    return str(Holder(scope(), pid, _start(pid) or "0"))


def is_dead(name: str) -> bool:
    """True when it is proved that this process has ended. False for every process of another machine."""
    found = _parsed(name)
    if found is None or found.scope != scope() or found.start == "0":
        return False
    start = _start(found.pid)
    return start != found.start if start is not None else not _exists(found.pid)


def names(pids: Iterable[int]) -> list[str]:
    """The names of those processes that live."""
    return [str(Holder(scope(), pid, start)) for pid, start in _living(pids)]


def scope() -> str:
    """Where process ids mean what they mean here. It ends in nothing outside of Linux, and nobody is dead there."""
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
    """Another user's process may be hidden in /proc (its option hidepid), but not from kill(2)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _start(pid: int) -> str | None:
    """When the process started; empty when it has ended, None when /proc shows no such process."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # its name, in brackets before, may hold anything
    return "" if fields[0] in ENDED else fields[_START_FIELD - 2]
