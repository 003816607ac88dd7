"""Leased rows in every condition, for the tests of durable/."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from durable.lease import Lease
from durable.models import Work
from tests.work.models import Errand


def errand(**fields: Any) -> Errand:
    """A fresh row as the database has it: due at once."""
    made = Errand.objects.create(**fields)
    made.refresh_from_db()
    return made


def claim(row: Errand) -> Lease[Errand]:
    """The lease on `row`, which must be due."""
    lease = Errand.objects.claim(row.pk)
    assert lease is not None
    return lease


def lapse(*rows: Work, seconds: float = 60) -> None:
    """The holders of these rows died a while ago: their leases have run out and their hints are old."""
    for row in rows:
        past = Work.moment_in(-seconds)
        type(row)._default_manager.filter(pk=row.pk, lease_until__isnull=False).update(lease_until=past)
        type(row)._default_manager.filter(pk=row.pk, published_at__isnull=False).update(published_at=past)


def make_due(*rows: Work) -> None:
    """Their wait is over."""
    for row in rows:
        type(row)._default_manager.filter(pk=row.pk, next_attempt_at__isnull=False).update(next_attempt_at=Now())


def seen(row: Errand) -> dict[str, Any]:
    """Every field of the row as it is now."""
    return dict(Errand.objects.filter(pk=row.pk).values().get())
