"""Test helpers for durable/: leased rows in every condition."""

from __future__ import annotations

from typing import Any

from durable.clock import Now
from durable.lease import Lease
from durable.models import Work
from tests.work.models import Errand


def errand(**fields: Any) -> Errand:
    """Create a row that is due at once, and load it from the database."""
    made = Errand.objects.create(**fields)
    made.refresh_from_db()
    return made


def claim(row: Errand) -> Lease[Errand]:
    """Claim `row`, which must be due."""
    lease = Errand.objects.claim(row.pk)
    assert lease is not None
    return lease


def lapse(*rows: Work, seconds: float = 60) -> None:
    """Make the leases and hints of these rows `seconds` old, as if their holders had died."""
    for row in rows:
        past = Work.moment_in(-seconds)
        type(row)._default_manager.filter(pk=row.pk, lease_until__isnull=False).update(lease_until=past)
        type(row)._default_manager.filter(pk=row.pk, published_at__isnull=False).update(published_at=past)


def make_due(*rows: Work) -> None:
    """End the wait of these rows for their next attempt."""
    for row in rows:
        type(row)._default_manager.filter(pk=row.pk, next_attempt_at__isnull=False).update(next_attempt_at=Now())


def seen(row: Errand) -> dict[str, Any]:
    """Return every field of the row from the database."""
    return dict(Errand.objects.filter(pk=row.pk).values().get())
