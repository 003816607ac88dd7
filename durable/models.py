"""Leased work: rows that workers claim, renew, finish, give back, retry and park.

A row is open while `next_attempt_at` is set, and has nothing to do while it is NULL. An open row is due when that
moment has passed and nobody holds a lease on it. Claiming is one conditional UPDATE that raises `attempt`; each later
write by the holder says `WHERE attempt = mine`, so who lost the lease writes nothing. An attempt is counted before the
work begins, so a row that kills its worker parks itself after its last attempt. Every comparison uses the database's
clock. Why it is so: docs/decisions/0002-leased-work.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from durable.conf import durable_settings
from durable.holders import holder, is_dead, scope
from durable.lease import Lease

W = TypeVar("W", bound="Work")


def backoff(failures: int, first: float | None = None) -> float:
    """Seconds to wait after the `failures`-th failure in a row: about 60, 120, 240, a little longer by chance.

    `first` stands in for the 60 where something is known to come back sooner.
    """
    config = durable_settings()
    spread = 1 + random.random() * config.backoff_jitter  # noqa: S311 - jitter, not a secret
    return (config.backoff_first if first is None else first) * float(2 ** (max(failures, 1) - 1)) * spread


class WorkQuerySet(models.QuerySet[W]):
    """The questions that workers and the sweep ask. `unheld` is the half of them that an index answers."""

    def open(self) -> Self:
        return self.filter(next_attempt_at__isnull=False)

    def unheld(self) -> Self:
        return self.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=Now()))

    def due(self) -> Self:
        """May be claimed now."""
        return self.filter(next_attempt_at__lte=Now(), attempt__lt=F("attempt_limit")).unheld()

    def exhausted(self) -> Self:
        """Exhausted: the last attempt ended without reporting a result."""
        return self.filter(next_attempt_at__lte=Now(), attempt__gte=F("attempt_limit")).unheld()

    def unpublished(self) -> Self:
        """No hint was sent, or none that somebody followed in good time."""
        return self.filter(Q(published_at__isnull=True) | Q(published_at__lte=self.publication_lost_before()))

    @staticmethod
    def publication_lost_before() -> Combinable:
        """Hints sent before this moment of the database's clock, and not followed, count as lost."""
        return Now() - timedelta(seconds=durable_settings().republish_after)

    def claim(self, pk: int, **fields: Any) -> Lease[W] | None:
        """Take the row if it is due: one conditional UPDATE. None: somebody else was first, or nothing is due."""
        with transaction.atomic(using=self.db):
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
            return Lease(self.get(pk=pk)) if taken else None

    def held(self) -> Self:
        """Somebody has a lease on them that has not run out."""
        return self.open().filter(lease_until__gt=Now())

    def free_the_dead(self) -> int:
        """End the leases of processes of this machine that have ended, so that nobody waits for them; how many."""
        mine = self.held().filter(leased_by__startswith=f"{scope()}:").order_by()
        held = {name for name in mine.values_list("leased_by", flat=True) if is_dead(name)}
        return self.held().filter(leased_by__in=held).update(lease_until=Now(), published_at=None) if held else 0

    def give_back(self, holders: Iterable[str]) -> int:
        """Open what these processes hold to anybody, at once; how many.

        The attempt does not count, and what they still write is refused. For a worker that must end before its work.
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
        """Open closed rows again with so many new attempts; how many. Whoever held one before is fenced off.

        The caller tells the workers, or says `published_at=None` and leaves it to the sweep.
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
        """Choose up to `limit` due rows that need a hint and note it on them; the caller sends it after commit."""
        with transaction.atomic(using=self.db):
            rows = list(
                self.due().unpublished().order_by("next_attempt_at").select_for_update(skip_locked=True)[:limit]
            )
            self.filter(pk__in=[row.pk for row in rows]).update(published_at=Now())
            return rows


class Work(models.Model):
    """A row that workers work on. Concrete models name their task in `hint`, and may set `max_attempts`."""

    max_attempts: ClassVar[int] = 5

    attempt = models.PositiveIntegerField(
        default=0, editable=False, help_text="Claims so far: the fence of every write."
    )
    attempt_limit = models.PositiveIntegerField(default=5, editable=False, help_text="Parked when this attempt dies.")
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_default=Now(), editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    leased_by = models.CharField(max_length=200, blank=True, default="", editable=False)
    claimed_at = models.DateTimeField(null=True, blank=True, editable=False)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)
    seconds = models.FloatField(default=0.0, editable=False, help_text="Seconds that workers have spent on this row.")
    longest_seconds = models.FloatField(default=0.0, editable=False, help_text="Seconds of its longest attempt.")

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **fields: Any) -> None:
        if not args:  # a new row, and not one out of the database
            fields = {"attempt_limit": self.attempts_given()} | fields
        super().__init__(*args, **fields)

    def hint(self) -> str:
        """The name of the task that does this row's next step; it takes the primary key alone."""
        raise NotImplementedError

    @property
    def failures(self) -> int:
        """Attempts used of the ones it has, this one included."""
        return self.attempt - (self.attempt_limit - self.attempts_given())

    @classmethod
    def attempts_given(cls) -> int:
        """Attempts that a row has until it is parked; a model may ask its app's settings instead."""
        return cls.max_attempts

    def held_rows(self) -> models.QuerySet[Any]:
        """This row, as long as it is open, held, and this attempt is its newest: the WHERE of every fenced write.

        A lease that has ended has no `lease_until`: a renewal that was on its way must not take the row again.
        """
        held = {"attempt": self.attempt, "next_attempt_at__isnull": False, "lease_until__isnull": False}
        return type(self)._default_manager.filter(pk=self.pk, **held)

    def dead_rows(self) -> models.QuerySet[Any]:
        """This row, as long as its last attempt has died: the WHERE of parking it. A living holder is left alone."""
        rows: WorkQuerySet[Any] = type(self)._default_manager.all()  # type: ignore[assignment]
        return rows.exhausted().filter(pk=self.pk, attempt=self.attempt)

    @staticmethod
    def moment_in(seconds: float) -> Combinable:
        """The database's clock, `seconds` ahead."""
        return Now() + timedelta(seconds=seconds)

    @classmethod
    def lease_end(cls) -> Combinable:
        return cls.moment_in(durable_settings().lease_seconds)
