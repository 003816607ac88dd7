"""What the workers have to do beside one export, as the fair order has it: for the wait, and for the time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import Case, Count, Q, Value, When
from django.db.models.functions import Now

from exports.conf import export_settings
from exports.models import Export, Part


@dataclass(frozen=True)
class Load:
    """The workers' load beside one owner, as far as the order of the window goes by it."""

    others: int = 0
    """Owners besides this one with an export that is rendering."""
    older: int = 0
    """Those of them with one that was asked for earlier."""
    own: int = 0
    """The owner's parts in flight."""
    turns: Mapping[int, int] = field(default_factory=dict)
    """The other owners' parts in flight."""
    running: int = 0
    """Parts in flight that a worker has begun, whoever's."""
    waiting: Mapping[int, int] = field(default_factory=dict)
    """For each of the owner's exports the parts that nobody has begun."""

    def ahead(self, export_pk: int) -> int:
        """Exports that get a turn before this one gets its first."""
        mine = [pk for pk in self.waiting if pk < export_pk]
        return len(mine) + (self.others if mine or self.own else self.older)

    def wait(self, export_pk: int, lanes: float, *, published: bool) -> float:
        """Seconds until the first part of this export begins, at `lanes` parts at a time; it may be in flight."""
        flying = sum(self.turns.values()) + self.own - self.running / 2  # who runs is half done, on the whole
        queued = flying - self.own if published else flying + self._parts_before(export_pk)
        return max(0.0, queued + 1 - lanes) * export_settings().part_seconds / lanes

    def _parts_before(self, export_pk: int) -> int:
        """Waiting parts that are chosen before this export's first.

        Each other owner takes as many turns as this one has had; of those who have had as many, the older go first.
        """
        mine = sum(parts for pk, parts in self.waiting.items() if pk < export_pk)
        turn, idle = self.own + mine, max(0, self.others - len(self.turns))
        return mine + sum(max(0, turn - taken) for taken in self.turns.values()) + idle * turn + min(self.older, idle)

    def share(self, lanes: float) -> float:
        """Parts at a time that are this owner's."""
        return lanes / (1 + self.others)


def load_beside(owner_pk: int, export_pk: int) -> Load:
    """The load beside this owner, for three queries; "earlier" is earlier than this export."""
    held = Case(When(lease_until__gt=Now(), then=Value(1)), default=Value(0))
    flying = list(Part.objects.in_flight().order_by().values_list("owner", held))
    turns = Counter(owner for owner, _ in flying)
    own = turns.pop(owner_pk, 0)
    rendering = Export.objects.rendering().order_by()
    owners = Count("owner", distinct=True)
    told = rendering.exclude(owner=owner_pk).aggregate(
        others=owners, older=Count("owner", distinct=True, filter=Q(pk__lt=export_pk))
    )
    waiting = Part.objects.waiting().order_by().filter(export__in=rendering.filter(owner=owner_pk))
    return Load(
        others=told["others"],
        older=told["older"],
        own=own,
        turns=turns,
        running=sum(held for _, held in flying),
        waiting=dict(waiting.values_list("export").annotate(Count("pk"))),
    )
