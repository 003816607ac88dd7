"""A Celery consumer and a channel that survive unreadable messages: each one is rejected, and the worker continues.
The consumer also gives our rows back when a cold shutdown begins.

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

from durable.celery.shutdown import shutdown
from durable.celery.tasks import DurableTask

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from kombu.transport.redis import Channel as _Channel
else:
    _Channel = object  # a site with another broker may not have the redis package


PAUSES: dict[str, Any] = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
"""Seconds between two attempts to reconnect to Redis. Kombu's own grow to 30, which delays users after an outage."""


class Consumer(consumer.Consumer):
    """Celery's consumer, but no message can end its process."""

    connection_errors: tuple[type[Exception], ...]

    def ensure_connected(self, conn: Connection) -> Connection:
        # With a limited number of retries, shorter pauses would use them up sooner.
        if not self.app.conf.broker_connection_max_retries:
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
        """Reject a task of ours of another version: Celery would store a result, but this process forks and must not.

        An unknown task of the site is handled as Celery does, so that a caller gets its error.
        """
        if self._is_ours(message):
            self._refuse(message, exc)
        else:
            super().on_unknown_task(body, message, exc)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        try:
            super().on_decode_error(message, exc)
        except Exception as error:  # the log line shows parts of the body, which may be of any kind
            if _is_of_connection(error, self.connection_errors):
                raise
            self._refuse(message, error)

    def cancel_active_requests(self) -> None:
        """Give our rows back, then end the running tasks: this is Celery's cold shutdown. Runs in a signal handler."""
        shutdown.end_now()
        super().cancel_active_requests()

    def _is_ours(self, message: Message) -> bool:
        """Return whether the message names a job, or a task of a module that has tasks of ours."""
        modules = {name.rpartition(".")[0] for name, task in self.app.tasks.items() if isinstance(task, DurableTask)}
        name = str(message.headers.get("task"))
        return name.startswith("durable.jobs.") or name.rpartition(".")[0] in modules

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
