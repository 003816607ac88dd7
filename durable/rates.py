"""Rate limits that hold over all workers and machines: a limit of 10 per minute has ten permits in the database.

Each start takes one permit with a conditional UPDATE, and the permit can be taken again a minute later. So no minute,
wherever it begins, has more than ten starts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NamedTuple, Self

from django.db import models

from durable.clock import Now, database_now
from durable.databases import PrimaryQuerySet
from durable.fields import UTCDateTimeField

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST = 10_000
"""Maximum number in a rate, because each permit is a row."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Rate(NamedTuple):
    """At most `number` starts in any period of `seconds`."""

    number: int
    seconds: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the rate that a text such as "10/m" names. Raises ValueError, with the fix in its message."""
        found = re.fullmatch(r"(\d+)/([smhd])", text)
        if not found or not 1 <= int(found[1]) <= MOST:
            raise ValueError(
                f"The rate limit {text!r} is not a number from 1 to {MOST:,} per unit of time: write it like '10/m', "
                "with s, m, h or d for second, minute, hour or day."
            )
        return cls(int(found[1]), UNITS[found[2]])


class PermitQuerySet(PrimaryQuerySet["Permit"]):
    def of(self, limit: str, rate: Rate) -> Self:
        return self.filter(limit=limit, index__lt=rate.number)


class Permit(models.Model):
    """One of the starts that a rate limit allows at the same time."""

    limit = models.CharField(max_length=200)
    index = models.PositiveIntegerField()
    used_at = UTCDateTimeField(default=NEVER)

    objects: ClassVar[PermitQuerySet] = PermitQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "durable"  # this module can be imported if the app is not installed, which a system check reports
        base_manager_name = "objects"
        constraints: ClassVar = [models.UniqueConstraint(fields=["limit", "index"], name="permit_once")]
        indexes: ClassVar = [models.Index(fields=["limit", "used_at"], name="permit_of_limit")]

    def __str__(self) -> str:
        return f"permit {self.index} of {self.limit}"


def take(limit: str, rate: Rate) -> float:
    """Take a permit of `limit`. Return 0.0, or the seconds until the next one is free."""
    permits = Permit.objects.of(limit, rate)
    if permits.count() < rate.number:  # a new limit, or a higher one
        made = [Permit(limit=limit, index=index) for index in range(rate.number)]
        Permit.objects.bulk_create(made, ignore_conflicts=True)
    free = permits.filter(used_at__lte=Now() - timedelta(seconds=rate.seconds))
    while permit := free.order_by("used_at").first():
        if free.filter(pk=permit.pk).update(used_at=Now()):
            return 0.0
    first = permits.order_by("used_at").values_list("used_at", flat=True)[0]
    wait = first + timedelta(seconds=rate.seconds) - database_now(Permit)
    return max(wait.total_seconds(), 0.01)


def free_within(seconds: float, limit: str, rate: Rate) -> int:
    """Return how many permits of `limit` are free now, or will be in this time if nobody takes them."""
    taken = Permit.objects.of(limit, rate).filter(used_at__gt=Now() + timedelta(seconds=seconds - rate.seconds))
    return rate.number - taken.count()
