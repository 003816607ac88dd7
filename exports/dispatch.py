"""The fair window: which parts the broker holds, and the choice of the next ones.

The broker holds only the few parts that workers are about to do; the backlog stays in the database. The next part
published is the one whose owner has the fewest in flight, then the oldest; so a huge export never stands in front of
a small one of somebody else, and losing the broker costs one window.
"""

from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Window
from django.db.models.functions import Now, RowNumber

from durable.publish import publish_on_commit
from exports.conf import export_settings
from exports.models import Export, Part
from exports.states import State

WINDOW_LOCK = 0x0CA44A11
"""Key of the PostgreSQL advisory lock that lets one process choose at a time."""

BATCH = 100
"""Exports that one sweep fans in; the next sweep takes the next ones."""


def fill_window() -> int:
    """Publish the fairest waiting parts until the window is full. Returns how many."""
    with transaction.atomic():
        _wait_for_turn()
        free = export_settings().window - Part.objects.in_flight().count()
        chosen = _not_being_changed(fairest(free)) if free > 0 else []
        Part.objects.filter(pk__in=[part.pk for part in chosen]).update(published_at=Now())
        publish_on_commit(chosen)
    return len(chosen)


def fairest(count: int) -> list[Part]:
    """The next `count` parts in fair order: each owner's n-th part stands behind every other owner's parts below n.

    A part in flight counts as one of its owner's turns already taken.
    """
    busy = dict(Part.objects.in_flight().order_by().values_list("owner").annotate(Count("pk")))
    turn = Window(RowNumber(), partition_by=F("owner"), order_by=[F("export").asc(), F("index").asc()])
    waiting = Part.objects.waiting().annotate(turn=turn).filter(turn__lte=count).values_list("turn", "owner", "pk")
    queue = sorted((turn + busy.get(owner, 0), pk) for turn, owner, pk in waiting)
    chosen = Part.objects.in_bulk([pk for _, pk in queue[:count]])
    return [chosen[pk] for _, pk in queue[:count]]


def _not_being_changed(chosen: list[Part]) -> list[Part]:
    """Those of `chosen` that nobody is claiming or cancelling just now, locked.

    We wait for no row: cancelling takes the same parts in another order, and each would wait for the other.
    """
    locked = Part.objects.select_for_update(skip_locked=True).filter(pk__in=[part.pk for part in chosen])
    free = set(locked.order_by().values_list("pk", flat=True))
    return [part for part in chosen if part.pk in free]


def finish_rendering(export_pk: int) -> bool:
    """Fan in, by query under a lock on the export's row: with no part left undone, assembling is due. True if so."""
    with transaction.atomic():
        export = Export.objects.select_for_update(no_key=True).filter(pk=export_pk, state=State.RENDERING).first()
        if export is None or export.parts.unfinished().exists():
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
    undone = Part.objects.unfinished().filter(export=OuterRef("pk"))
    stuck = Export.objects.filter(~Exists(undone), state=State.RENDERING).values_list("pk", flat=True)[:BATCH]
    return sum(finish_rendering(pk) for pk in list(stuck))


def _wait_for_turn() -> None:
    """One chooser at a time, or two would fill one place. SQLite's immediate transactions have one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WINDOW_LOCK])
