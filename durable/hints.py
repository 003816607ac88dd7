"""Hints to the workers: "this row is due". A hint may be lost, doubled or late, and nothing changes but the delay."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from django.utils.module_loading import import_string

from durable.conf import durable_settings

logger = logging.getLogger(__name__)

Send = Callable[[str, Sequence[int]], None]
"""(task name, primary keys): one message a key, as one group where there are several."""

_muted: ContextVar[bool] = ContextVar("hints_muted", default=False)


def send(task: str, pks: Sequence[int]) -> bool:
    """Tell the workers now, within the broker's short limits. False when nobody was told: the sweep does it later."""
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


@contextmanager
def muted() -> Iterator[None]:
    """Inside, no hint is sent: the caller does the work itself, in this process and without a broker."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)
