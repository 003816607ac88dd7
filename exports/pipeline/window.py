"""The fair windows: which parts and plans the broker holds, and the choice of the next ones.

The broker holds only the few parts that workers are about to do; the backlog stays in the database. The next part
published is the one whose owner has the fewest in flight, then the oldest; so a huge export never stands in front of
a small one of somebody else, and losing the broker costs one window. Small exports have a window of their own, and
another worker: they do not wait until a big part ends. Planning an export has a third window, with the same rule: who
asks for many, or tries one again and again, does not keep others waiting.
"""

from collections import Counter
from typing import NamedTuple, TypeVar

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Subquery
from django.db.models.functions import Now

from durable.models import Work
from durable.publish import publish_on_commit
from exports.conf import export_settings
from exports.models import Export, Part
from exports.states import State

W = TypeVar("W", bound=Work)
WINDOW_LOCK = 0x0CA44A11
"""Key of the PostgreSQL advisory lock that lets one process choose at a time."""

BATCH = 100
"""Exports that one sweep fans in; the next sweep takes the next ones."""


def fill_window() -> int:
    """Publish the fairest waiting parts until both of their windows are full. Returns how many."""
    with transaction.atomic():
        _wait_for_turn()
        window = export_settings().window
        chosen = _not_being_changed(fairest(window, small=True) + fairest(window), Part)
        Part.objects.filter(pk__in=[part.pk for part in chosen]).update(published_at=Now())
        publish_on_commit(chosen)
    return len(chosen)


def may_plan_now() -> bool:
    """Whether an export that is just being queued can be published at once: there is room, and none waits for it.

    Else it waits for `fill_plans`, which every plan that ends calls, and every sweep.
    """
    return len(planning()) < export_settings().window and not Export.objects.to_plan().exists()


def planning() -> dict[int, int]:
    """The exports that the window of plans counts: sent to the broker or held by a worker. Primary key -> owner."""
    sent, held = Export.objects.plan_sent(), Export.objects.plan_held()
    return {pk: owner for found in (sent, held) for pk, owner in found.order_by().values_list("pk", "owner")}


def forget_plan(export_pk: int) -> None:
    """The message to plan a cancelled export has come: it takes no place in the window any more."""
    Export.objects.filter(pk=export_pk, state=State.CANCELLED).update(published_at=None)


def fill_plans() -> int:
    """Publish the fairest queued exports until the window of plans is full. Returns how many."""
    with transaction.atomic():
        _wait_for_turn()
        chosen = _not_being_changed(fairest_plans(export_settings().window), Export)
        Export.objects.filter(pk__in=[export.pk for export in chosen]).update(published_at=Now())
        publish_on_commit(chosen)
    return len(chosen)


def fairest_plans(window: int) -> list[Export]:
    """The queued exports that fill a window of so many, in fair order.

    Each owner's n-th export stands behind every other owner's exports below n, and one in flight counts as a turn
    already taken; where owners are equal, the one that was queued first is first, a retry as of its own moment.
    """
    turns = Counter(planning().values())
    chosen: list[Export] = []
    while turns.total() < window and (export := _next_plan(turns, chosen)):
        chosen.append(export)
        turns[export.owner_id] += 1
    return chosen


def _next_plan(turns: Counter[int], chosen: list[Export]) -> Export | None:
    waiting = Export.objects.to_plan().exclude(pk__in=[export.pk for export in chosen])
    if idle := waiting.exclude(owner__in=turns).first():
        return idle
    return min(waiting.filter(owner__in=turns), key=lambda export: turns[export.owner_id], default=None)


def fairest(window: int, *, small: bool = False) -> list[Part]:
    """The waiting parts that fill a window of so many, of small exports or of the others, in fair order.

    Each owner's n-th part stands behind every other owner's parts below n, and a part in flight counts as one of its
    owner's turns already taken; where owners are equal, the older export is first. However long the backlog: it is
    asked of the exports that are rendering, never part by part.
    """
    turns = _in_flight(small)
    chosen: list[int] = []
    while turns.total() < window and (head := _head(small, turns, chosen)):
        chosen.append(head.part)
        turns[head.owner] += 1
    found = Part.objects.select_related("export").in_bulk(chosen)
    return [found[pk] for pk in chosen]


def _in_flight(small: bool) -> Counter[int]:
    """Owner -> how many of their parts are in flight. No join: with old statistics that could read whole tables."""
    held = list(Part.objects.in_flight().order_by().values_list("export", "owner"))
    little = set(Export.objects.small().filter(pk__in=[export for export, _ in held]).values_list("pk", flat=True))
    return Counter(owner for export, owner in held if (export in little) == small)


class Head(NamedTuple):
    """The part that its owner's next turn takes."""

    export: int
    owner: int
    part: int


def _head(small: bool, turns: Counter[int], chosen: list[int]) -> Head | None:
    """The next part: of an owner without a turn yet, else of the one with the fewest."""
    exports = Export.objects.rendering()
    waiting = Part.objects.waiting().filter(export=OuterRef("pk")).exclude(pk__in=chosen).order_by("index")
    first = (exports.small() if small else exports.big()).annotate(part=Subquery(waiting.values("pk")[:1]))
    heads = first.filter(part__isnull=False).order_by("pk").values_list("pk", "owner", "part")
    if idle := heads.exclude(owner__in=turns).first():
        return Head(*idle)
    busy = [Head(*head) for head in heads.filter(owner__in=turns)]
    return min(busy, key=lambda head: (turns[head.owner], head.export), default=None)


def _not_being_changed(chosen: list[W], model: type[W]) -> list[W]:
    """Those of `chosen` that nobody is claiming or cancelling just now, locked.

    We wait for no row: cancelling takes the same parts in another order, and each would wait for the other.
    """
    rows = model._default_manager.select_for_update(skip_locked=True, no_key=True)
    free = set(rows.filter(pk__in=[row.pk for row in chosen]).order_by().values_list("pk", flat=True))
    return [row for row in chosen if row.pk in free]


def finish_rendering(export_pk: int) -> bool:
    """Fan in, by query under a lock on the export's row: with no part left undone, assembling is due. True if so."""
    with transaction.atomic():
        export = Export.objects.select_for_update(no_key=True).filter(pk=export_pk, state=State.RENDERING).first()
        if export is None or export.parts.open().exists() or export.parts.unfinished().exists():
            return False
        Export.objects.filter(pk=export_pk).move(
            State.ASSEMBLING,
            next_attempt_at=Now(),
            published_at=Now(),
            attempt_limit=F("attempt") + export_settings().max_attempts,
        )
        export.refresh_from_db()
        publish_on_commit([export])
    return True


def finish_all_rendering() -> int:
    """The sweep's half of the fan-in: exports whose last part is done and whose worker died before saying so."""
    undone = Part.objects.open().filter(export=OuterRef("pk"))
    stuck = Export.objects.rendering().filter(~Exists(undone)).values_list("pk", flat=True)[:BATCH]
    return sum(finish_rendering(pk) for pk in list(stuck))


def _wait_for_turn() -> None:
    """One chooser at a time, or two would fill one place. SQLite's immediate transactions have one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WINDOW_LOCK])
