"""The states of an export and of its parts, and the table of allowed moves between them.

The diagram in docs/states.md is generated from this table, and a test compares the two.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """State of an export."""

    QUEUED = "queued", _("Queued")
    RENDERING = "rendering", _("Rendering")
    ASSEMBLING = "assembling", _("Assembling")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class PartState(models.TextChoices):
    """State of a part of an export."""

    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    JOINED = "joined", _("Joined into the artifact")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RENDERING, State.FAILED, State.CANCELLED}),
    State.RENDERING: frozenset({State.ASSEMBLING, State.FAILED, State.CANCELLED}),
    State.ASSEMBLING: frozenset({State.RENDERING, State.READY, State.FAILED, State.CANCELLED}),
    State.READY: frozenset({State.EXPIRED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
    State.EXPIRED: frozenset(),
}
"""The allowed moves from each state. FAILED and CANCELLED go back to QUEUED when the owner retries the export,
ASSEMBLING to RENDERING when the file of a finished part turns out to be damaged."""

OPEN = frozenset({State.QUEUED, State.RENDERING, State.ASSEMBLING})
"""States of an unfinished export."""
RETRYABLE = frozenset(source for source, targets in MOVES.items() if source not in OPEN and State.QUEUED in targets)
"""States in which the owner may retry the export."""


def sources(target: State) -> list[State]:
    """Return the states from which an export may move to `target`, for the WHERE clause of the UPDATE."""
    return [source for source, targets in MOVES.items() if target in targets]
