"""The workers' load besides one owner's exports, for estimating its wait and time left under the fair order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Count, Q, Value, When

from durable.clock import Now
from exports.conf import export_settings
from exports.models import Export, Part
from exports.pipeline.window import WITHOUT_WORKERS, sizes


@dataclass(frozen=True)
class Load:
    """The load that competes with one owner's exports in the fair order of the window."""

    others: int = 0
    """Number of other owners with a rendering export."""
    older: int = 0
    """Number of those with an export requested earlier."""
    own: int = 0
    """Number of this owner's parts in flight."""
    turns: Mapping[Any, int] = field(default_factory=dict)
    """The other owners' parts in flight: owner -> number."""
    running: int = 0
    """Number of parts in flight that a worker has begun, of all owners."""
    waiting: Mapping[int, int] = field(default_factory=dict)
    """This owner's waiting parts: export -> number."""
    places: int = WITHOUT_WORKERS
    """Size of the window of parts."""

    def ahead(self, export_pk: int) -> int:
        """Return the number of exports that get a turn before the first turn of this one."""
        mine = [pk for pk in self.waiting if pk < export_pk]
        return len(mine) + (self.others if mine or self.own else self.older)

    def wait(self, export_pk: int, lanes: float, *, published: bool) -> float:
        """Return the seconds until the first part of this export begins, with `lanes` parts in parallel.

        `published` is True if its first part is already in flight.
        """
        in_flight = sum(self.turns.values()) + self.own - self.running / 2  # a running part is half done on average
        queued = in_flight - self.own if published else in_flight + self._parts_before(export_pk)
        return max(0.0, queued + 1 - lanes) * export_settings().part_seconds / lanes

    def _parts_before(self, export_pk: int) -> int:
        """Return the number of waiting parts that are chosen before the first part of this export.

        Each other owner takes as many turns as this one has had. With equal turns, owners of older exports go first.
        """
        mine = sum(parts for pk, parts in self.waiting.items() if pk < export_pk)
        turn, idle = self.own + mine, max(0, self.others - len(self.turns))
        return mine + sum(max(0, turn - taken) for taken in self.turns.values()) + idle * turn + min(self.older, idle)

    def share(self, lanes: float) -> float:
        """Return this owner's share of `lanes` parallel parts."""
        return lanes / (1 + self.others)


def load_beside(owner_pk: Any, export_pk: int) -> Load:
    """Return the load besides this owner, with four queries. `older` counts owners of exports older than this one."""
    held = Case(When(lease_until__gt=Now(), then=Value(1)), default=Value(0))
    in_flight = list(Part.objects.in_flight().order_by().values_list("owner", held))
    turns = Counter(owner for owner, _ in in_flight)
    own = turns.pop(owner_pk, 0)
    rendering = Export.objects.rendering().order_by()
    owners = Count("owner", distinct=True)
    counts = rendering.exclude(owner=owner_pk).aggregate(
        others=owners, older=Count("owner", distinct=True, filter=Q(pk__lt=export_pk))
    )
    waiting = Part.objects.waiting().order_by().filter(export__in=rendering.filter(owner=owner_pk))
    return Load(
        others=counts["others"],
        older=counts["older"],
        own=own,
        turns=turns,
        running=sum(held for _, held in in_flight),
        waiting=dict(waiting.values_list("export").annotate(Count("pk"))),
        places=sizes().parts,
    )
