"""kombu's Redis transports with fixes for four faults that end or block a worker's main process (kombu 5.7.0).

1. Redis dies while a late-acknowledged task runs and a slot is free. Closing a channel needs three answers of Redis:
   to the pending BRPOP, to the removal of reply queues, and to the requeueing of unacknowledged messages. The first
   failure leaves the channel half closed. The next attempt to close it comes after its connection is gone and raises
   AttributeError ('NoneType' object has no attribute 'hostname'), which no caller expects.

2. A task ends while the connection is lost, and is acknowledged on a closed channel: the same error. The channel's
   messages were requeued, or were lost with Redis, so the acknowledgement can be skipped.

3. A message cannot be acknowledged. kombu still counts it as unacknowledged. After as many such messages as the worker
   has processes, the worker takes no more messages, and never notices, because it sends Redis no further command.

4. Redis answers with an error: it has become a replica (UNBLOCKED on reads, READONLY on writes), or its disk or memory
   is full. kombu treats this as a channel error, on which Celery exits. Here it is a connection error: the client
   reconnects, which finds the new master, or waits until Redis works again.

A message that is not requeued loses no work: the database has the row, and the sweep sends its message again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import redis
from kombu.transport import redis as kombu_redis

from durable.celery.messages import TolerantChannel

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    _Base = kombu_redis.Channel
else:
    _Base = object


class ClosableChannel(_Base):
    """A channel that can always be closed, and sends Redis no command afterwards."""

    connection_errors: tuple[type[Exception], ...]
    """Those of its transport."""

    def close(self) -> None:
        """Close the channel; if Redis does not answer, only on this side."""
        redis_away: tuple[type[Exception], ...] = (*self.connection_errors, AttributeError)
        try:
            super().close()
        except redis_away as error:
            logger.info(
                "Closed a channel without Redis (%s); the sweep will send its messages again.", short_message(error)
            )
            self._forget()
            super().close()

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        if not self.closed:
            with self._always_settled(delivery_tag):
                super().basic_ack(delivery_tag, multiple)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if not self.closed:
            with self._always_settled(delivery_tag):
                super().basic_reject(delivery_tag, requeue)

    @contextmanager
    def _always_settled(self, delivery_tag: str) -> Iterator[None]:
        """Stop counting the message as unacknowledged, even if Redis refuses. Redis redelivers it, without effect."""
        try:
            yield
        except self.connection_errors:
            cast("Any", self.qos)._quick_ack(delivery_tag)
            raise

    def _forget(self) -> None:
        """Clear all state for which `close` would need Redis."""
        self._in_poll = None
        self.auto_delete_queues.clear()
        if (qos := cast("Any", self._qos)) is not None:
            qos._flush()
            qos._delivered.clear()
        self.closed = self.connection is None  # otherwise the second close repeats every step


class Channel(ClosableChannel, TolerantChannel, kombu_redis.Channel):
    """A channel to a single Redis server."""


class SentinelChannel(ClosableChannel, TolerantChannel, kombu_redis.SentinelChannel):
    """A channel to the master that Sentinel reports."""


class Transport(kombu_redis.Transport):
    Channel = Channel
    connection_errors = (*kombu_redis.Transport.connection_errors, redis.ResponseError)


class SentinelTransport(kombu_redis.SentinelTransport):
    Channel = SentinelChannel
    connection_errors = Transport.connection_errors


def short_message(error: Exception) -> str:
    """Return the error's text, short enough for a log line: without a master, redis-py appends every client."""
    return str(error).partition(" : ")[0]
