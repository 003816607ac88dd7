"""What a fault is, and how one waits for something to hit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from tests.chaos.plan import Strike, Weight
from tests.chaos.site import Site

HUNT = 2.0
"""Seconds that a kill waits for somebody who is in the middle of something."""
UP = 10.0
"""Seconds that it waits for a program to be up."""


@dataclass
class Scene:
    """What a fault works with."""

    site: Site
    holders: Callable[[], set[int]]
    """Ids of the processes that are in the middle of something, as far as anybody knows."""


class Fault:
    """One kind of fault. `resource` is what two at a time would share."""

    kind: ClassVar[str]
    weight: ClassVar[Weight]
    resource: ClassVar[str] = ""
    late: ClassVar[bool] = False
    """What it has hit is known only once it has healed."""
    control: ClassVar[bool] = True
    """Plain Celery has the thing that breaks."""

    def strike(self, scene: Scene, strike: Strike) -> str:
        raise NotImplementedError

    def heal(self, scene: Scene, strike: Strike) -> None:
        """Undo it, where it does not end by itself."""

    def hit(self, scene: Scene, strike: Strike) -> str:
        """What a late one has hit, once it has healed; "" for nothing."""
        return ""


def choose(names: tuple[str, ...], strike: Strike) -> str:
    """The one that the strike is for."""
    return names[strike.target // 2 % len(names)]


def until(true: Callable[[], object], seconds: float = UP) -> bool:
    """Wait for it; False when it did not come."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def hunt(found: Callable[[], set[int]]) -> set[int]:
    """Who is in the middle of something, if anybody comes to it soon."""
    end = time.monotonic() + HUNT
    while time.monotonic() < end:
        if pids := found():
            return pids
        time.sleep(0.02 + random.random() * 0.02)
    return set()
