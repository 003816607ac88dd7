"""The process manager of a run: it starts what has ended again after a second, and knows who killed it."""

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
"""Seconds until what has ended is started again."""
LOOK_EVERY = 0.1
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class End:
    """A process that ended: `ours` when it was killed or asked to end by the run."""

    name: str
    pid: int
    code: int
    at: float
    ours: bool


class Manager(threading.Thread):
    """Keeps programs up. It alone starts them, for the kernel ends a child with the thread that started it."""

    def __init__(self, start: Callable[[str], Process], stop_seconds: Callable[[str], float]) -> None:
        super().__init__(name="manager", daemon=True)
        self._start, self._stop_seconds = start, stop_seconds
        self._lock = threading.RLock()
        self._up: dict[str, Process] = {}
        self._due: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._ended = threading.Event()
        self.ends: list[End] = []
        self.deaths: dict[int, float] = {}
        """Process id -> when it was killed by us, on the monotonic clock."""
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
            elif now > self._asked.get(name, now):
                self._kill_group(name, process)
        for name in [name for name, at in self._due.items() if at <= now]:
            del self._due[name]
            self._up[name] = self._start(name)

    def _note_end(self, name: str, process: Process, now: float) -> None:
        ours = name in self._asked or process.pid in self.deaths
        self._asked.pop(name, None)
        _end_group(process)  # what it has left behind
        self.ends.append(End(name, process.pid, process.returncode, time.time(), ours))
        del self._up[name]
        self._due[name] = now + PAUSE

    # -- what the run does to them -----------------------------------------------------------------------------------

    def pid(self, name: str) -> int | None:
        with self._lock:
            process = self._up.get(name)
            return process.pid if process is not None and process.poll() is None else None

    def children(self, name: str) -> list[int]:
        """Ids of a program's direct children."""
        pid = self.pid(name)
        return children_of(pid) if pid else []

    def kill(self, name: str) -> bool:
        """SIGKILL a program with all its children, as the kernel would. False when it is not up."""
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
        self._asked.pop(name, None)
        _end_group(process)

    def kill_child(self, pid: int) -> bool:
        """SIGKILL one child. False when it has ended by itself."""
        self.deaths[pid] = time.monotonic()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def ask(self, name: str) -> bool:
        """SIGTERM a program; its group is killed when it does not end in its time. False when it is not up."""
        with self._lock:
            process = self._up.get(name)
            if process is None or process.poll() is not None:
                return False
            self._asked[name] = time.monotonic() + self._stop_seconds(name)
            process.terminate()
            return True

    def unexpected(self, fallen: Container[int]) -> list[End]:
        """Who ended by itself; `fallen` are those that were made to kill themselves."""
        return [end for end in self.ends if not end.ours and end.pid not in fallen]

    def stop(self) -> None:
        """Start nothing more, and kill everything."""
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
