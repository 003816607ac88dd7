"""Hints to the workers that a row is due. A lost, duplicate or late hint changes nothing but the delay."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from django.utils.module_loading import import_string

from durable.conf import durable_settings
from durable.databases import on_commit
from durable.models import Work

logger = logging.getLogger(__name__)

Send = Callable[[str, Sequence[int]], None]
"""(task name, primary keys): send one message per key, several as one group."""

_muted: ContextVar[bool] = ContextVar("hints_muted", default=False)


def send(task: str, pks: Sequence[int]) -> bool:
    """Send a hint for each key, within the broker's short timeouts. Return False if none was sent; the sweep will."""
    path = durable_settings().send_hint
    if not pks or path is None or _muted.get():
        return False
    sender: Send = import_string(path)
    try:
        sender(task, pks)
    except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, the row is already safe
        logger.warning("Hint %s for %d row(s) was not sent (%s); the sweep will send it.", task, len(pks), error)
        return False
    return True


def publish(rows: Iterable[Work]) -> None:
    """Send a hint for each row, grouped by task. Rows whose hint could not be sent are marked for the next sweep."""
    by_task: dict[tuple[type[Work], str], list[int]] = defaultdict(list)
    for row in rows:
        by_task[type(row), row.hint()].append(row.pk)
    for (model, task), pks in by_task.items():
        if not send(task, pks):
            model._default_manager.filter(pk__in=pks).update(published_at=None)


def publish_on_commit(rows: Iterable[Work]) -> None:
    """Call `publish` after the caller's transaction commits. The rows are of one model. Errors are logged."""
    if chosen := list(rows):
        on_commit(type(chosen[0]), lambda: publish(chosen))


@contextmanager
def muted() -> Iterator[None]:
    """Send no hints inside this context: the caller does the work itself, in this process and without a broker."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)
