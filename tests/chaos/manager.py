"""The process manager of a run: restarts ended programs after a second and records which ones the run killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

PAUSE = 1.0
"""Seconds until an ended program is restarted."""
LOOK_EVERY = 0.1
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class End:
    """A process that ended. `ours` is true if the run killed or terminated it."""

    name: str
    pid: int
    code: int
    at: float
    ours: bool


class Manager(threading.Thread):
    """Keep programs running. Only this thread starts them: the kernel ends a child with the thread that started it."""

    def __init__(self, start: Callable[[str], Process], stop_seconds: Callable[[str], float]) -> None:
        super().__init__(name="manager", daemon=True)
        self._start, self._stop_seconds = start, stop_seconds
        self._lock = threading.RLock()
        self._up: dict[str, Process] = {}
        self._due: dict[str, float] = {}
        self._terminating: dict[str, float] = {}
        self._ended = threading.Event()
        self.ends: list[End] = []
        self.deaths: dict[int, float] = {}
        """Process id -> time at which the run killed it, on the monotonic clock."""
        self.failure: BaseException | None = None

    def keep_up(self, *names: str) -> None:
        with self._lock:
            self._due |= dict.fromkeys(names, 0.0)

    def run(self) -> None:
        try:
            while not self._ended.wait(LOOK_EVERY):
                with self._lock:
                    self._look()
        except BaseException as error:
            self.failure = error
            raise

    def _look(self) -> None:
        now = time.monotonic()
        for name, process in list(self._up.items()):
            if process.poll() is not None:
                self._note_end(name, process, now)
            elif now > self._terminating.get(name, now):
                self._kill_group(name, process)
        for name in [name for name, at in self._due.items() if at <= now]:
            del self._due[name]
            self._up[name] = self._start(name)

    def _note_end(self, name: str, process: Process, now: float) -> None:
        ours = name in self._terminating or process.pid in self.deaths
        self._terminating.pop(name, None)
        _end_group(process)  # remaining children
        self.ends.append(End(name, process.pid, process.returncode, time.time(), ours))
        del self._up[name]
        self._due[name] = now + PAUSE

    # -- used by the run ---------------------------------------------------------------------------------------------

    def pid(self, name: str) -> int | None:
        with self._lock:
            process = self._up.get(name)
            return process.pid if process is not None and process.poll() is None else None

    def children(self, name: str) -> list[int]:
        """Return the process ids of a program's direct children."""
        pid = self.pid(name)
        return children_of(pid) if pid else []

    def kill(self, name: str) -> bool:
        """Send SIGKILL to a program and all its children, as the kernel would. Return False if it is not running."""
        with self._lock:
            process = self._up.get(name)
            if process is None or process.poll() is not None:
                return False
            self._kill_group(name, process)
            process.wait(10)
            return True

    def _kill_group(self, name: str, process: Process) -> None:
        now = time.monotonic()
        self.deaths |= dict.fromkeys([process.pid, *children_of(process.pid)], now)
        self._terminating.pop(name, None)
        _end_group(process)

    def kill_child(self, pid: int) -> bool:
        """Send SIGKILL to one child. Return False if it has already ended."""
        self.deaths[pid] = time.monotonic()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def terminate(self, name: str) -> bool:
        """Send SIGTERM to a program, and SIGKILL to its group after `stop_seconds`. Return False if it is not up."""
        with self._lock:
            process = self._up.get(name)
            if process is None or process.poll() is not None:
                return False
            self._terminating[name] = time.monotonic() + self._stop_seconds(name)
            process.terminate()
            return True

    def unexpected(self, fallen: Container[int]) -> list[End]:
        """Return the processes that ended by themselves, without those killed at a kill point (`fallen`)."""
        return [end for end in self.ends if not end.ours and end.pid not in fallen]

    def stop(self) -> None:
        """Stop restarting programs, and kill all of them."""
        self._ended.set()
        if self.is_alive():
            self.join(30)
        with self._lock:
            for process in self._up.values():
                _end_group(process)
                process.wait(10)
            self._up.clear()


def _end_group(process: Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
