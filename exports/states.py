"""The states of an export and of its parts, and the one table of moves between them.

The diagram in docs/states.md is made from this table, and a test compares the two.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """Where an export is."""

    QUEUED = "queued", _("Queued")
    RENDERING = "rendering", _("Rendering")
    ASSEMBLING = "assembling", _("Assembling")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class PartState(models.TextChoices):
    """Where a part of an export is."""

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
"""From each state, the states it may move to. FAILED and CANCELLED go back to QUEUED when their owner tries again,
ASSEMBLING to RENDERING when a finished part's file turns out to be spoilt."""

OPEN = frozenset({State.QUEUED, State.RENDERING, State.ASSEMBLING})
"""Somebody is still waiting for it."""
RETRYABLE = frozenset(source for source, targets in MOVES.items() if source not in OPEN and State.QUEUED in targets)
"""Its owner may try it again."""


def sources(target: State) -> list[State]:
    """The states from which an export may move to `target`: the WHERE of the UPDATE that moves it."""
    return [source for source, targets in MOVES.items() if target in targets]
