"""Publish due rows: send their hints, and mark the rows whose hint could not be sent."""

from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction

from durable import hints
from durable.models import Work


def publish(rows: Iterable[Work]) -> None:
    """Send a hint for each row, grouped by task. Rows whose hint could not be sent are marked for the next sweep."""
    by_task: dict[tuple[type[Work], str], list[int]] = defaultdict(list)
    for row in rows:
        by_task[type(row), row.hint()].append(row.pk)
    for (model, task), pks in by_task.items():
        if not hints.send(task, pks):
            model._default_manager.filter(pk__in=pks).update(published_at=None)


def publish_on_commit(rows: Iterable[Work]) -> None:
    """Call `publish` after the caller's transaction commits. Its errors are logged, not raised."""
    chosen = list(rows)
    transaction.on_commit(lambda: publish(chosen), robust=True)
