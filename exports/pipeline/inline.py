"""Run an export in this process, without a broker: the same rows, leases and steps, one after the other."""

import time
from collections.abc import Callable

from durable import hints
from exports.models import Export, Part
from exports.pipeline import assemble, failure, plan, render, window
from exports.states import State

PAUSE = 0.5
"""Seconds to wait when a worker elsewhere holds the next step."""


def run_inline(export: Export, tell: Callable[[Export], None]) -> None:
    """Run `export` to its final state, together with any workers. Call `tell` with the fresh row between steps."""
    while True:
        export.refresh_from_db()
        tell(export)
        if not export.is_open:
            return
        if not _step(export) and not _park_dead(export):
            time.sleep(PAUSE)


def _step(export: Export) -> bool:
    """Run the next due step. Return False if no step is due."""
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
    """Fail exhausted rows, as the sweep does: there may be no worker that runs the sweep."""
    dead = [*Export.objects.exhausted().filter(pk=export.pk), *Part.objects.exhausted().filter(export=export)]
    with hints.muted():
        for row in dead:
            failure.park(row)
    return bool(dead)
