"""Circuit breakers: a third party that is down is left alone, by all workers and machines, and asked by one at a time.

A breaker is a row. It opens after some failures in a row, and calls are then refused without asking. After a cool-down
one caller may ask; its success closes the breaker, its failure starts the next cool-down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import F

from durable.clock import Now, database_now
from durable.databases import PrimaryQuerySet
from durable.fields import UTCDateTimeField
from durable.retries import Postponed


class Breaker(models.Model):
    """The failures in a row of a third party, and when it may be asked again once they are too many."""

    party = models.CharField(max_length=200, unique=True)
    failures = models.PositiveIntegerField(default=0)
    ask_at = UTCDateTimeField(null=True)

    objects: ClassVar[PrimaryQuerySet[Breaker]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "durable"  # this module can be imported if the app is not installed, which a system check reports
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.party


class BreakerOpen(Postponed):
    """The third party is down, and is not asked. A job that raises this is put back, and spends no attempt."""


@contextmanager
def guarded(
    party: str,
    *,
    errors: type[Exception] | tuple[type[Exception], ...],
    failures: int = 3,
    cool_down: float = 60.0,
) -> Iterator[None]:
    """Guard a call of a third party: only `errors` are failures. Raises BreakerOpen after `failures` of them in a row.

    `cool_down` is in seconds. Use it outside of transactions: a rollback would lose the count.
    """
    row = Breaker.objects.filter(party=party)
    known = row.first()
    if known is not None and known.failures >= failures:
        _ask_alone(row, party, cool_down)
    try:
        yield
    except errors:
        Breaker.objects.bulk_create([Breaker(party=party)], ignore_conflicts=True)
        row.update(failures=F("failures") + 1, ask_at=Now() + timedelta(seconds=cool_down))
        raise
    if known is not None and known.failures:
        row.update(failures=0, ask_at=None)


def _ask_alone(row: PrimaryQuerySet[Breaker], party: str, cool_down: float) -> None:
    """Raise BreakerOpen, unless this caller is the first one after the cool-down."""
    asked = row.filter(ask_at__lte=Now()).update(ask_at=Now() + timedelta(seconds=cool_down))
    if asked:
        return
    ask_at = row.values_list("ask_at", flat=True).get()
    wait = (ask_at - database_now(Breaker)).total_seconds() if ask_at else 0.0  # closed in the meantime
    raise BreakerOpen(f"{party}: it has failed repeatedly, and is asked again later.", max(wait, 1.0))
