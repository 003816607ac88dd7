"""An export done in this process, with no broker at all: the same rows, leases and steps, one after the other."""

import time
from collections.abc import Callable

from durable import hints
from exports import dispatch, pipeline
from exports.models import Export, Part
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
        if not _step(export):
            time.sleep(PAUSE)


def _step(export: Export) -> bool:
    """Do the next due step. False when there is none for us just now."""
    with hints.muted():
        if export.state == State.RENDERING:
            part = Part.objects.filter(export=export).due().order_by("index").first()
            if part is None:
                return dispatch.finish_rendering(export.pk)
            pipeline.render(part.pk)
            return True
        if not Export.objects.filter(pk=export.pk).due().exists():
            return False
        step = pipeline.plan if export.state == State.QUEUED else pipeline.assemble
        step(export.pk)
        return True
