"""Faults of processes: killed, stopped, terminated, or killed at a named point."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable

from deploy.steps import Fault as NotReady
from tests.chaos.faults.base import Fault, Scene, choose, hunt, until
from tests.chaos.plan import Strike, Weight
from tests.chaos.site import BEATS, Site
from tests.support import points

SHORT_POINTS = (
    "mail-accepted", "part-stored", "part-done", "fanned-in", "ready-before-commit", "ready-after-commit",
    "window-chosen", "plan-after-commit", "click-after-commit", "assembled-stored", "sweep-published",
)  # fmt: skip
NOT_HERE = ("report-", "failed-", "usagereport-")
"""Prefixes of the kill points that a run never reaches."""


class KillWorker(Fault):
    kind, weight = "worker-kill", Weight(20)

    def strike(self, scene: Scene, strike: Strike) -> str:
        name = choose(scene.site.workers, strike)
        if not until(lambda: scene.site.manager.pid(name)):
            return ""
        if strike.target % 2:
            hunt(lambda: scene.holders() & set(scene.site.manager.children(name)))
        return name if scene.site.manager.kill(name) else ""


class KillChild(Fault):
    kind, weight = "child-kill", Weight(40)

    def strike(self, scene: Scene, strike: Strike) -> str:
        name = choose(scene.site.workers, strike)
        if not until(lambda: scene.site.manager.children(name)):
            return ""
        busy = hunt(lambda: scene.holders() & set(scene.site.manager.children(name)))
        pids = sorted(busy) or scene.site.manager.children(name)
        return f"{name} {pids[0]}" if pids and scene.site.manager.kill_child(pids[0]) else ""


class StopChild(Fault):
    """Stop a process for longer than its lease, then let it continue."""

    kind, weight, resource = "child-stop", Weight(4, 40, 9), "child-stop"
    _pid = 0

    def strike(self, scene: Scene, strike: Strike) -> str:
        name = choose(scene.site.workers, strike)
        if not until(lambda: scene.site.manager.children(name)):
            return ""
        pids = sorted(hunt(lambda: scene.holders() & set(scene.site.manager.children(name))))
        self._pid = (pids or scene.site.manager.children(name) or [0])[0]
        return f"{name} {self._pid}" if self._pid and _signal(self._pid, signal.SIGSTOP) else ""

    def heal(self, scene: Scene, strike: Strike) -> None:
        if self._pid:
            _signal(self._pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> bool:
    """Send a signal. Return False if the process has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


class Deploy(Fault):
    """Terminate every program in turn. The process manager restarts each one."""

    kind, weight, resource = "deploy", Weight(3, 45, 25), "deploy"

    def strike(self, scene: Scene, strike: Strike) -> str:
        names = [*scene.site.workers, *(name for name in ("web", *BEATS) if name in scene.site.programs)]
        threading.Thread(target=_roll, args=(scene.site, names), name="deploy", daemon=True).start()
        return " ".join(names)


def _roll(site: Site, names: Iterable[str]) -> None:
    for name in names:
        starts = site.starts.get(name, 0)
        if site.manager.terminate(name):
            until(lambda name=name, starts=starts: site.starts.get(name, 0) > starts, 30)  # type: ignore[misc]
        if name not in BEATS:
            try:
                site.await_ready(name)
            except NotReady:  # another fault prevents the start; the process manager keeps trying
                return


class KillWeb(Fault):
    kind, weight, control = "web-kill", Weight(3), False

    def strike(self, scene: Scene, strike: Strike) -> str:
        return "web" if until(lambda: scene.site.manager.kill("web")) else ""


class KillBeat(Fault):
    kind, weight, control = "beat-kill", Weight(4), False

    def strike(self, scene: Scene, strike: Strike) -> str:
        name = choose(BEATS, strike)
        return name if until(lambda: scene.site.manager.kill(name)) else ""


class KillPoint(Fault):
    """The next process that reaches a named point is killed there (tests/support/points.py)."""

    kind, control = "kill-point", False
    weight = Weight(60, names=(*SHORT_POINTS, *(name for name in points.POINTS if not name.startswith(NOT_HERE))))

    def strike(self, scene: Scene, strike: Strike) -> str:
        points.arm(scene.site.points, strike.name)
        return strike.name
