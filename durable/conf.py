"""Typed settings of leased work, from the `DURABLE` dict. They are read live, so that override_settings works."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings

SESSION_TIMEOUTS = {
    # Wait only briefly for a lock: a request is then answered with 503, and a worker's row is claimed again later.
    "lock_timeout": "5s",
    # A process that stalls inside a transaction loses it, and its locks, after the duration of a lease.
    "idle_in_transaction_session_timeout": "30s",
}
"""PostgreSQL timeouts that every connection needs: set by a statement, or by its role."""


@dataclass(frozen=True)
class DurableSettings:
    """All times are in seconds."""

    lease_seconds: float = 30.0
    renew_every: float = 10.0
    sweep_every: float = 5.0
    republish_after: float = 20.0
    """A hint after which no worker has claimed the row for this long counts as lost."""
    backoff_first: float = 60.0
    backoff_jitter: float = 0.2
    """Maximum random addition to a wait, as a fraction of it. It spreads the retries of rows that failed together."""
    machine: str = ""
    """Distinguishes machines with the same host name: those with different values ignore each other's processes."""
    slow_seconds: float = 30.0
    """A task that takes longer is logged as slow."""
    send_hint: str | None = None
    """Dotted path of `send(task_name, primary_keys)`. With None, hints are left to the sweep of another process."""


def durable_settings() -> DurableSettings:
    """Return the current settings. Raises TypeError for an unknown key."""
    given: dict[str, Any] = getattr(settings, "DURABLE", {})
    return DurableSettings(**{key.lower(): value for key, value in given.items()})
