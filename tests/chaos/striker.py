"""Injects the plan's faults at their times, heals them, and logs what each one hit."""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping
from pathlib import Path

from tests.chaos import lines
from tests.chaos.faults import Fault, Scene
from tests.chaos.plan import Strike

STRUCK = "faults.log"


class Striker:
    """Inject and heal faults. Runs in the thread of the site: processes end with the thread that started them."""

    def __init__(self, scene: Scene, known: Mapping[str, Fault], folder: Path) -> None:
        self._scene, self._known, self._folder = scene, known, folder
        self._healing: list[tuple[float, int, Strike]] = []
        self._busy: dict[str, float] = {}

    def run(self, strikes: tuple[Strike, ...], begin: float) -> None:
        """Inject each fault at its offset from `begin`, or once the last fault of its resource has healed. Heal all."""
        waiting = [(begin + strike.at, number, strike) for number, strike in enumerate(strikes)]
        heapq.heapify(waiting)
        while waiting:
            at, number, strike = heapq.heappop(waiting)
            self._sleep_until(at)
            free = self._busy.get(self._known[strike.kind].resource, 0)
            if free > time.monotonic():
                heapq.heappush(waiting, (free + 0.2, number, strike))
            else:
                self._strike(number, strike)
        while self._healing:
            self._sleep_until(self._healing[0][0])

    def _strike(self, number: int, strike: Strike) -> None:
        fault = self._known[strike.kind]
        hit = fault.strike(self._scene, strike)
        if fault.resource and strike.seconds:
            until = time.monotonic() + strike.seconds
            self._busy[fault.resource] = until
            heapq.heappush(self._healing, (until, number, strike))
        if not fault.late:
            self._note(strike, hit)

    def _note(self, strike: Strike, hit: str) -> None:
        lines.append(self._folder / STRUCK, {"kind": strike.kind, "name": strike.name, "struck": hit})

    def _sleep_until(self, moment: float) -> None:
        """Sleep until `moment`, healing the faults that are due before."""
        while self._healing and self._healing[0][0] <= moment:
            at, _, strike = heapq.heappop(self._healing)
            time.sleep(max(0.0, at - time.monotonic()))
            fault = self._known[strike.kind]
            fault.heal(self._scene, strike)
            if fault.late:
                self._note(strike, fault.hit(self._scene, strike))
        time.sleep(max(0.0, moment - time.monotonic()))
