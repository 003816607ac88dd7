"""Base class of faults, and helpers that wait for a target."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from tests.chaos.plan import Strike, Weight
from tests.chaos.site import Site

HUNT = 2.0
"""Seconds that a kill waits for a busy process."""
UP = 10.0
"""Seconds that a kill waits for a program to be up."""


@dataclass
class Scene:
    """The site that faults act on, and its busy processes."""

    site: Site
    holders: Callable[[], set[int]]
    """Returns the ids of the processes that held a row at the last poll."""


class Fault:
    """One kind of fault. Faults with the same `resource` do not overlap."""

    kind: ClassVar[str]
    weight: ClassVar[Weight]
    resource: ClassVar[str] = ""
    late: ClassVar[bool] = False
    """What the fault hit is known only once it has healed."""
    control: ClassVar[bool] = True
    """Whether the fault applies to plain Celery."""

    def strike(self, scene: Scene, strike: Strike) -> str:
        raise NotImplementedError

    def heal(self, scene: Scene, strike: Strike) -> None:
        """Undo the fault, if it does not end by itself."""

    def hit(self, scene: Scene, strike: Strike) -> str:
        """Return what a `late` fault hit, once it has healed, or ""."""
        return ""


def choose(names: tuple[str, ...], strike: Strike) -> str:
    """Return the name that the strike's `target` selects."""
    return names[strike.target // 2 % len(names)]


def until(true: Callable[[], object], seconds: float = UP) -> bool:
    """Wait until `true()` holds. Return False after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def hunt(found: Callable[[], set[int]]) -> set[int]:
    """Wait up to HUNT seconds for a busy process. Return the process ids found, which may be empty."""
    end = time.monotonic() + HUNT
    while time.monotonic() < end:
        if pids := found():
            return pids
        time.sleep(0.02 + random.random() * 0.02)
    return set()
