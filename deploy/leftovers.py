"""Reap descendants of this process that have ended, and end those that are left (from /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

GRACE_SECONDS = 5.0


def reap(known: subprocess.Popen[bytes]) -> None:
    """Reap children that have ended, adopted ones too. Store the exit code of `known` in it."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == known.pid:
            known.returncode = os.waitstatus_to_exitcode(status)


def children(parent: int) -> list[int]:
    """Return the pids of the live children of a process; empty if there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = entry.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(entry.parent.name))
    return found


def descendants(parent: int) -> list[int]:
    below = children(parent)
    return below + [pid for child in below for pid in descendants(child)]


def end_descendants() -> int:
    """Send SIGTERM to all descendants, and SIGKILL after GRACE_SECONDS. Return the number killed."""
    end, terminated, killed = time.monotonic() + GRACE_SECONDS, set[int](), set[int]()
    while left := descendants(os.getpid()):
        late = time.monotonic() > end
        for pid in left:
            if late or pid not in terminated:
                _send(pid, signal.SIGKILL if late else signal.SIGTERM)
            (killed if late else terminated).add(pid)
        if time.monotonic() > end + GRACE_SECONDS:
            break
        time.sleep(0.05)
        _reap_all()
    _reap_all()
    return len(killed)


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
