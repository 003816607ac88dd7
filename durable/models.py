"""Leased work: rows that workers claim, renew, finish, give back, retry and park.

A row is open while `next_attempt_at` is set, and closed while it is NULL. An open row is due when that time has passed
and no worker holds a lease on it. Claiming is one conditional UPDATE that increments `attempt`. Each later write of the
holder has the condition `attempt = mine`, so a worker that lost the lease writes nothing. An attempt is counted before
the work begins, so a row that kills its workers is parked after its last attempt. Every comparison uses the database's
clock. The reasons are in docs/decisions/0002-leased-work.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import Combinable

from durable import log_fields
from durable.breaker import Breaker  # noqa: F401 - Django looks for models here
from durable.clock import Now
from durable.conf import durable_settings
from durable.databases import PrimaryQuerySet, atomic
from durable.fields import UTCDateTimeField
from durable.holders import holder, is_dead, scope
from durable.lease import Lease
from durable.rates import Permit  # noqa: F401 - Django looks for models here
from durable.workers import Worker  # noqa: F401 - Django looks for models here

W = TypeVar("W", bound="Work")


def backoff(failures: int, first: float | None = None) -> float:
    """Return the seconds to wait after the `failures`-th failure in a row: 60, 120, 240 and so on, plus random jitter.

    `first` replaces the 60 for faults that are known to pass sooner.
    """
    config = durable_settings()
    spread = 1 + random.random() * config.backoff_jitter  # noqa: S311 - jitter, not a secret
    return (config.backoff_first if first is None else first) * float(2 ** (max(failures, 1) - 1)) * spread


class WorkQuerySet(PrimaryQuerySet[W]):
    """Queries of the workers and of the sweep."""

    def open(self) -> Self:
        return self.filter(next_attempt_at__isnull=False)

    def unheld(self) -> Self:
        return self.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=Now()))

    def due(self) -> Self:
        """Rows that can be claimed now."""
        return self.filter(next_attempt_at__lte=Now(), attempt__lt=F("attempt_limit")).unheld()

    def exhausted(self) -> Self:
        """Rows whose last attempt ended without reporting a result."""
        return self.filter(next_attempt_at__lte=Now(), attempt__gte=F("attempt_limit")).unheld()

    def unpublished(self) -> Self:
        """Rows for which no hint was sent, or whose hint counts as lost."""
        return self.filter(Q(published_at__isnull=True) | Q(published_at__lte=self.publication_lost_before()))

    @staticmethod
    def publication_lost_before() -> Combinable:
        """Return the time, by the database's clock, before which a hint must be sent to count as lost."""
        return Now() - timedelta(seconds=durable_settings().republish_after)

    def claim(self, pk: int, **fields: Any) -> Lease[W] | None:
        """Claim the row with one conditional UPDATE. Return None if it is not due, or another worker claimed it."""
        with atomic(self.model):
            taken = (
                self.due()
                .filter(pk=pk)
                .update(
                    attempt=F("attempt") + 1,
                    lease_until=self.model.lease_end(),
                    leased_by=holder(),
                    claimed_at=Now(),
                    **fields,
                )
            )
            if not taken:
                return None
            work = self.get(pk=pk)
            log_fields.put(work.log_fields())
            return Lease(work)

    def held(self) -> Self:
        """Rows with a lease that has not expired."""
        return self.open().filter(lease_until__gt=Now())

    def free_dead(self) -> int:
        """End the leases of processes of this machine that have ended. Return the number of rows."""
        mine = self.held().filter(leased_by__startswith=f"{scope()}:").order_by()
        held = {name for name in mine.values_list("leased_by", flat=True) if is_dead(name)}
        return self.held().filter(leased_by__in=held).update(lease_until=Now(), published_at=None) if held else 0

    def give_back(self, holders: Iterable[str]) -> int:
        """Make the rows that these processes hold due at once. Return the number of rows.

        The attempts do not count, and later writes of these processes fail. For a worker that exits before its work is
        done.
        """
        return (
            self.held()
            .filter(leased_by__in=list(holders))
            .update(
                lease_until=None,
                leased_by="",
                next_attempt_at=Now(),
                published_at=None,
                attempt_limit=F("attempt_limit") + 1,
            )
        )

    def reopen(self, attempts: int, **fields: Any) -> int:
        """Reopen closed rows with `attempts` new attempts. Return the number reopened. Earlier holders are fenced off.

        The caller sends the hints, or passes `published_at=None` to leave them to the sweep.
        """
        fresh: dict[str, Any] = {
            "next_attempt_at": Now(),
            "published_at": Now(),
            "lease_until": None,
            "leased_by": "",
            "attempt": F("attempt") + 1,
            "attempt_limit": F("attempt") + 1 + attempts,
        }
        return self.filter(next_attempt_at__isnull=True).update(**(fresh | fields))

    def mark_published(self, limit: int) -> list[W]:
        """Mark up to `limit` due rows that need a hint as published. The caller sends the hints after the commit."""
        with atomic(self.model):
            ordered = self.due().unpublished().order_by(*self.model.urgency)
            rows = list(ordered.select_for_update(skip_locked=True)[:limit])
            self.filter(pk__in=[row.pk for row in rows]).update(published_at=Now())
            return rows


class Work(models.Model):
    """Base class of rows that workers process. Models define their task in `hint`, and may set `max_attempts`.

    `objects` is a WorkQuerySet's manager, and `base_manager_name = "objects"` in Meta makes Django use it everywhere:
    rows are then read where they are written, although the site's router sends other reads to a replica.
    """

    max_attempts: ClassVar[int] = 5
    urgency: ClassVar[Sequence[str]] = ("next_attempt_at",)
    """The order in which the sweep sends hints of due rows."""

    attempt = models.PositiveIntegerField(
        default=0, editable=False, help_text="Claims so far: the fence of every write."
    )
    attempt_limit = models.PositiveIntegerField(default=5, editable=False, help_text="Parked when this attempt dies.")
    next_attempt_at = UTCDateTimeField(null=True, blank=True, db_default=Now(), editable=False)
    lease_until = UTCDateTimeField(null=True, blank=True, editable=False)
    leased_by = models.CharField(max_length=200, blank=True, default="", editable=False)
    claimed_at = UTCDateTimeField(null=True, blank=True, editable=False)
    published_at = UTCDateTimeField(null=True, blank=True, editable=False)
    seconds = models.FloatField(default=0.0, editable=False, help_text="Seconds that workers have spent on this row.")
    longest_seconds = models.FloatField(default=0.0, editable=False, help_text="Seconds of its longest attempt.")

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **fields: Any) -> None:
        if not args:  # a new row, not one loaded from the database
            fields = {"attempt_limit": self.attempts_given()} | fields
        super().__init__(*args, **fields)

    def hint(self) -> str:
        """Return the name of the task for the next step of this row. It takes only the primary key."""
        raise NotImplementedError

    def log_fields(self) -> Mapping[str, str]:
        """Return what to add to each log line while a worker has this row (durable/log_fields.py)."""
        return {}

    @property
    def failures(self) -> int:
        """Attempts used since the row was opened or reopened, including the current one."""
        return self.attempt - (self.attempt_limit - self.attempts_given())

    @classmethod
    def attempts_given(cls) -> int:
        """Return the number of attempts before a row is parked. A model may read it from its app's settings instead."""
        return cls.max_attempts

    def held_rows(self) -> models.QuerySet[Any]:
        """Return this row if it is open, held, and this attempt is its newest: the condition of every fenced write.

        A lease that has ended has no `lease_until`, so that a concurrent renewal does not take the row again.
        """
        held = {"attempt": self.attempt, "next_attempt_at__isnull": False, "lease_until__isnull": False}
        return type(self)._default_manager.filter(pk=self.pk, **held)

    def dead_rows(self) -> models.QuerySet[Any]:
        """Return this row if its last attempt has died: the condition for parking it. A live holder keeps the row."""
        rows: WorkQuerySet[Any] = type(self)._default_manager.all()  # type: ignore[assignment]
        return rows.exhausted().filter(pk=self.pk, attempt=self.attempt)

    @staticmethod
    def moment_in(seconds: float) -> Combinable:
        """Return the time `seconds` from now, by the database's clock."""
        return Now() + timedelta(seconds=seconds)

    @classmethod
    def lease_end(cls) -> Combinable:
        return cls.moment_in(durable_settings().lease_seconds)
