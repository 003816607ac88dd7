"""A worker that outlives its messages and its Redis: what it cannot read is refused one by one, and it goes on.

Celery and kombu 5.7.0 refuse most of them. But a body that is no list of three, a task's name that is no text, a
missing id or delivery tag, or something in the queue that is no message at all raises in the main process: it ends,
its connection gives the message back, and the next process ends over it in its turn. One such message, from another
release or from anybody who reaches Redis, would hold up the queue for good.

What was refused is not lost: the row that it meant is still due, and the sweep sends a message that can be read.
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
"""Seconds between two tries to reach a lost Redis. Kombu's own grow to 30, and people wait for them when it is back."""


class Consumer(consumer.Consumer):
    """Celery's consumer, which outlives each message."""

    connection_errors: tuple[type[Exception], ...]

    def ensure_connected(self, conn: Connection) -> Connection:
        conn.ensure_connection = partial(conn.ensure_connection, **PAUSES)  # type: ignore[method-assign]
        connected: Connection = super().ensure_connected(conn)
        return connected

    def on_connection_error_after_connected(self, error: Exception) -> None:
        with warnings.catch_warnings():  # that what runs could be cancelled: decision 0012 says why it is not
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(error)

    def create_task_handler(self, *args: Any) -> Callable[[Message], None]:
        handle = super().create_task_handler(*args)

        def handle_or_refuse(message: Message) -> None:
            try:
                handle(message)
            except Exception as error:  # whatever it is, this message must not come again
                if _is_of_connection(error, self.connection_errors):
                    raise
                self._refuse(message, error)

        return handle_or_refuse

    def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
        """Refuse a task of another version. Celery would also write a result: in this process, which forks."""
        self._refuse(message, exc)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        self._refuse(message, exc)

    def _refuse(self, message: Message, error: Exception) -> None:
        logger.error("Refused a message (%r) with the headers %.300r.", error, message.headers)
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)


class Reading(_Channel):
    """A channel that outlives what lies in its queues without being a message."""

    connection_errors: tuple[type[Exception], ...]

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs lack it
        except Exception as error:  # it has been taken out, and nobody can do anything with it
            if isinstance(error, Empty) or _is_of_connection(error, self.connection_errors):
                raise
            logger.error("Threw away what is no message (%r).", error)
            return True


def _is_of_connection(error: Exception, classes: tuple[type[Exception], ...]) -> bool:
    """kombu counts KeyError among the connection's errors. Here it is a header that the message should have."""
    return isinstance(error, classes) and not isinstance(error, KeyError)
