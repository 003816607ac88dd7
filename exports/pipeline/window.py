"""The fair windows: choose the next parts and plans to publish to the broker.

The broker holds only the few parts that workers are about to do; the backlog stays in the database. The next part
published is that of the owner with the fewest parts in flight, then the oldest. So a huge export never blocks another
user's small one, and losing the broker loses one window. Small exports have their own window and their own worker, so
that they do not wait for the end of a big part. Plans have a third window with the same rule: a user with many requests
or retries does not delay other users.
"""

from collections import Counter
from typing import Any, NamedTuple, TypeVar

from django.db.models import Exists, F, OuterRef, Subquery

from durable.celery.workers import running_at_once
from durable.clock import Now
from durable.databases import atomic, connection_of
from durable.hints import publish_on_commit
from durable.models import Work
from exports.conf import export_settings
from exports.models import Export, Part
from exports.states import State

W = TypeVar("W", bound=Work)
WINDOW_LOCK = 0x0CA44A11
"""Key of the PostgreSQL advisory lock that lets only one process choose at a time."""

TASKS = "exports.tasks"
WITHOUT_WORKERS = 3
"""Size of a window while no worker is known to be alive, as before the first one starts."""
BATCH = 100
"""Maximum number of exports that one sweep fans in. The next sweep takes the next ones."""


class Sizes(NamedTuple):
    """The sizes of the three windows."""

    parts: int
    small: int
    plans: int


def sizes() -> Sizes:
    """Return one place more than there are processes for each kind of task, or the size of the setting."""
    if (fixed := export_settings().window) is not None:
        return Sizes(fixed, fixed, fixed)
    alive = running_at_once(f"{TASKS}.render_part", f"{TASKS}.render_small_part", f"{TASKS}.plan_export")
    return Sizes(*(processes + 1 if processes else WITHOUT_WORKERS for processes in alive))


def fill_window() -> int:
    """Publish waiting parts in fair order until both of their windows are full. Return the number published."""
    with atomic(Export):
        _wait_for_turn()
        size = sizes()
        chosen = _lock_available(fairest(size.small, small=True) + fairest(size.parts), Part)
        Part.objects.filter(pk__in=[part.pk for part in chosen]).update(published_at=Now())
        publish_on_commit(chosen)
    return len(chosen)


def may_plan_now() -> bool:
    """Return whether a newly queued export can be published at once: the window has room, and no other export waits.

    Otherwise it waits for `fill_plans`, which runs at the end of every plan and in every sweep.
    """
    return len(planning()) < sizes().plans and not Export.objects.to_plan().exists()


def planning() -> dict[int, Any]:
    """Return the exports in the window of plans, sent to the broker or held by a worker. Primary key -> owner."""
    sent, held = Export.objects.plan_sent(), Export.objects.plan_held()
    return {pk: owner for found in (sent, held) for pk, owner in found.order_by().values_list("pk", "owner")}


def forget_plan(export_pk: int) -> None:
    """Free the place of a cancelled export in the window of plans, once its message has arrived."""
    Export.objects.filter(pk=export_pk, state=State.CANCELLED).update(published_at=None)


def fill_plans() -> int:
    """Publish queued exports in fair order until the window of plans is full. Return the number published."""
    with atomic(Export):
        _wait_for_turn()
        chosen = _lock_available(fairest_plans(sizes().plans), Export)
        Export.objects.filter(pk__in=[export.pk for export in chosen]).update(published_at=Now())
        publish_on_commit(chosen)
    return len(chosen)


def fairest_plans(window: int) -> list[Export]:
    """Return the queued exports that fill a window of this size, in fair order.

    Each owner's n-th export comes after the other owners' exports below n. An export in flight counts as a turn taken.
    With equal turns, the export queued first comes first; a retry counts from the time of the retry.
    """
    turns = Counter(planning().values())
    chosen: list[Export] = []
    while turns.total() < window and (export := _next_plan(turns, chosen)):
        chosen.append(export)
        turns[export.owner_id] += 1
    return chosen


def _next_plan(turns: Counter[Any], chosen: list[Export]) -> Export | None:
    waiting = Export.objects.to_plan().exclude(pk__in=[export.pk for export in chosen])
    if idle := waiting.exclude(owner__in=turns).first():
        return idle
    return min(waiting.filter(owner__in=turns), key=lambda export: turns[export.owner_id], default=None)


def fairest(window: int, *, small: bool = False) -> list[Part]:
    """Return the waiting parts that fill a window of this size, of small exports or of the others, in fair order.

    Each owner's n-th part comes after the other owners' parts below n. A part in flight counts as a turn taken. With
    equal turns, the older export comes first. The cost does not grow with the backlog of parts: the queries go through
    the rendering exports, not through every part.
    """
    turns = _in_flight(small)
    chosen: list[int] = []
    while turns.total() < window and (head := _head(small, turns, chosen)):
        chosen.append(head.part)
        turns[head.owner] += 1
    found = Part.objects.select_related("export").in_bulk(chosen)
    return [found[pk] for pk in chosen]


def _in_flight(small: bool) -> Counter[Any]:
    """Return owner -> number of parts in flight. No join: with outdated statistics it could read whole tables."""
    held = list(Part.objects.in_flight().order_by().values_list("export", "owner"))
    small_pks = set(Export.objects.small().filter(pk__in=[export for export, _ in held]).values_list("pk", flat=True))
    return Counter(owner for export, owner in held if (export in small_pks) == small)


class Head(NamedTuple):
    """The next part of an owner."""

    export: int
    owner: Any
    part: int


def _head(small: bool, turns: Counter[Any], chosen: list[int]) -> Head | None:
    """Return the next part, or None: that of an owner without a turn, else of the owner with the fewest."""
    exports = Export.objects.rendering()
    waiting = Part.objects.waiting().filter(export=OuterRef("pk")).exclude(pk__in=chosen).order_by("index")
    first = (exports.small() if small else exports.big()).annotate(part=Subquery(waiting.values("pk")[:1]))
    heads = first.filter(part__isnull=False).order_by("pk").values_list("pk", "owner", "part")
    if idle := heads.exclude(owner__in=turns).first():
        return Head(*idle)
    busy = [Head(*head) for head in heads.filter(owner__in=turns)]
    return min(busy, key=lambda head: (turns[head.owner], head.export), default=None)


def _lock_available(chosen: list[W], model: type[W]) -> list[W]:
    """Return those of `chosen` that no other transaction is claiming or cancelling, locked.

    Locked rows are skipped: cancelling locks the same parts in another order, and waiting could deadlock.
    """
    rows = model._default_manager.select_for_update(skip_locked=True, no_key=True)
    free = set(rows.filter(pk__in=[row.pk for row in chosen]).order_by().values_list("pk", flat=True))
    return [row for row in chosen if row.pk in free]


def finish_rendering(export_pk: int) -> bool:
    """Make assembling due if no part is left to do, and return whether it was. Runs under a lock on the export."""
    with atomic(Export):
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
    """Fan in exports whose last part is done but whose worker died before `finish_rendering`. Run by the sweep."""
    undone = Part.objects.open().filter(export=OuterRef("pk"))
    stuck = Export.objects.rendering().filter(~Exists(undone)).values_list("pk", flat=True)[:BATCH]
    return sum(finish_rendering(pk) for pk in list(stuck))


def _wait_for_turn() -> None:
    """Let only one process choose at a time, or two could fill the same place. SQLite has a single writer anyway."""
    connection = connection_of(Export)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WINDOW_LOCK])
