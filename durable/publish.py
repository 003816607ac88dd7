"""Publishing: hints for rows that are due, with a note on the rows when no hint could be sent."""

from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction

from durable import hints
from durable.models import Work


def publish(rows: Iterable[Work]) -> None:
    """Send a hint for each row, grouped by task. Rows that nobody could be told of are marked for the next sweep."""
    by_task: dict[tuple[type[Work], str], list[int]] = defaultdict(list)
    for row in rows:
        by_task[type(row), row.hint()].append(row.pk)
    for (model, task), pks in by_task.items():
        if not hints.send(task, pks):
            model._default_manager.filter(pk__in=pks).update(published_at=None)


def publish_on_commit(rows: Iterable[Work]) -> None:
    """`publish` once the caller's transaction has committed; never, if it does not. It raises nothing."""
    chosen = list(rows)
    transaction.on_commit(lambda: publish(chosen), robust=True)
