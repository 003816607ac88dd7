"""A Celery consumer and a channel that survive unreadable messages: each one is rejected, and the worker continues.

Celery and kombu 5.7.0 reject most unreadable messages. But a body that is not a list of three, a task name that is
not a string, a missing id or delivery tag, or a queue entry that is not a message raises in the main process. The
process exits, its connection requeues the message, and the next process exits in the same way. One bad message, from
another release or from any client of Redis, would block the queue for good.

A rejected message loses no work: its row is still due, and the sweep sends a new message.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer
from kombu import Connection
from kombu.message import Message
from kombu.transport import redis as kombu_redis

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    _Channel = kombu_redis.Channel
else:
    _Channel = object


PAUSES: dict[str, Any] = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
"""Seconds between two attempts to reconnect to Redis. Kombu's own grow to 30, which delays users after an outage."""


class Consumer(consumer.Consumer):
    """Celery's consumer, but no message can end its process."""

    connection_errors: tuple[type[Exception], ...]

    def ensure_connected(self, conn: Connection) -> Connection:
        conn.ensure_connection = partial(conn.ensure_connection, **PAUSES)  # type: ignore[method-assign]
        connected: Connection = super().ensure_connected(conn)
        return connected

    def on_connection_error_after_connected(self, error: Exception) -> None:
        with warnings.catch_warnings():  # it proposes to cancel running tasks; decision 0012 says why we do not
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(error)

    def create_task_handler(self, *args: Any) -> Callable[[Message], None]:
        handle = super().create_task_handler(*args)

        def handle_or_refuse(message: Message) -> None:
            try:
                handle(message)
            except Exception as error:  # any error: this message must not be delivered again
                if _is_of_connection(error, self.connection_errors):
                    raise
                self._refuse(message, error)

        return handle_or_refuse

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
        """Reject a task of another version. Celery would also store a result, but this process forks and must not."""
        self._refuse(message, exc)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        self._refuse(message, exc)

    def _refuse(self, message: Message, error: Exception) -> None:
        logger.error("Rejected an unreadable message (%r) with the headers %.300r.", error, message.headers)
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)


class TolerantChannel(_Channel):
    """A channel that discards queue entries that are not messages."""

    connection_errors: tuple[type[Exception], ...]

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs lack it
        except Exception as error:  # the entry is already out of the queue, and cannot be used
            if isinstance(error, Empty) or _is_of_connection(error, self.connection_errors):
                raise
            logger.error("Discarded a queue entry that is not a message (%r).", error)
            return True


def _is_of_connection(error: Exception, classes: tuple[type[Exception], ...]) -> bool:
    """Return whether `error` is a connection error. kombu includes KeyError; here that is a missing message header."""
    return isinstance(error, classes) and not isinstance(error, KeyError)
