"""An export done in this process, with no broker at all: the same rows, leases and steps, one after the other."""

import time
from collections.abc import Callable

from durable import hints
from exports.models import Export, Part
from exports.pipeline import assemble, failure, plan, render, window
from exports.states import State

PAUSE = 0.5
"""Seconds to wait when a worker elsewhere holds the next step."""


def carry_out(export: Export, tell: Callable[[Export], None]) -> None:
    """Take `export` to its final state, whoever does each step; `tell` is called between steps with the fresh row."""
    while True:
        export.refresh_from_db()
        tell(export)
        if not export.is_open:
            return
        if not _step(export) and not _park_dead(export):
            time.sleep(PAUSE)


def _step(export: Export) -> bool:
    """Do the next due step. False when there is none for us just now."""
    with hints.muted():
        if export.state == State.RENDERING:
            part = Part.objects.filter(export=export).due().order_by("index").first()
            if part is None:
                return window.finish_rendering(export.pk)
            render.run(part.pk)
            return True
        if not Export.objects.filter(pk=export.pk).due().exists():
            return False
        step = plan if export.state == State.QUEUED else assemble
        step.run(export.pk)
        return True


def _park_dead(export: Export) -> bool:
    """End what has used its attempts: the sweep's work, but here there may be no worker who sweeps."""
    dead = [*Export.objects.exhausted().filter(pk=export.pk), *Part.objects.exhausted().filter(export=export)]
    with hints.muted():
        for row in dead:
            failure.park(row)
    return bool(dead)
