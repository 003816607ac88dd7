"""Typed settings of leased work over one `DURABLE` dict, read live so that override_settings works."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

SESSION_TIMEOUTS = {
    # A lock that somebody else holds is waited for briefly: the click is told 503, a worker's row is taken up again.
    "lock_timeout": "5s",
    # A process that stands still inside a transaction loses it, and its locks, after as long as a lease lasts.
    "idle_in_transaction_session_timeout": "30s",
}
"""PostgreSQL's bounds on waiting, which each connection needs: by a statement, or from its role."""


@dataclass(frozen=True)
class DurableSettings:
    """All times are seconds."""

    lease_seconds: float = 30.0
    renew_every: float = 10.0
    sweep_every: float = 5.0
    republish_after: float = 20.0
    """A published hint that nobody followed for so long counts as lost."""
    backoff_first: float = 60.0
    backoff_jitter: float = 0.2
    """Share of the wait by which it may be longer, so that rows that failed together do not return together."""
    machine: str = ""
    """Tells machines apart that look alike: whoever differs here does not judge whether the other's processes live."""
    slow_seconds: float = 30.0
    """A task that takes longer is logged as slow."""
    send_hint: str | None = None
    """Dotted path of `send(task_name, primary_keys)`; None sends nothing, and the sweep of another process must."""


def durable_settings() -> DurableSettings:
    """The settings as they are now. Raises TypeError on a key that does not exist."""
    given: dict[str, Any] = getattr(settings, "DURABLE", {})
    return DurableSettings(**{key.lower(): value for key, value in given.items()})
