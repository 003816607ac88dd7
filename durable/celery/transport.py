"""kombu's Redis transports, mended where a worker's main process ended or stood still (kombu 5.7.0).

Redis dies while a late-acknowledged task runs and a slot is free. Closing a channel asks Redis for three things that it
can no longer give: the answer to a BRPOP under way, the removal of reply queues, and the return of unacknowledged
messages. The first refusal leaves the channel half closed; the next attempt to close it comes when its connection has
been taken away, and raises AttributeError ('NoneType' object has no attribute 'hostname'), which nobody expects.

A task ends just as the connection is lost, and is acknowledged on a channel that has been closed: the same error. What
that held has been given back, or has gone with Redis, so there is nothing more to say of it.

A message cannot be acknowledged. kombu goes on counting it as being worked at; when that happens to as many as a worker
has processes, it takes no message any more, and never finds out why, for it asks Redis nothing.

Redis answers, but refuses: it has become a replica (UNBLOCKED to who waits, READONLY to who writes), its disk or its
memory is full. kombu calls that an error of the channel, and Celery ends over one of those. Here it is one of the
connection: whoever meets it connects anew, which finds the new master, or waits until Redis is well.

What is not given back to Redis is not lost: the row is the truth, and the sweep sends its message again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

from durable.celery.messages import Reading

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    _Base = kombu_redis.Channel
else:
    _Base = object


class Leaving(_Base):
    """A channel that can always be closed, and asks nothing of Redis afterwards."""

    connection_errors: tuple[type[Exception], ...]
    """Its transport's."""

    def close(self) -> None:
        """Close in good order where Redis answers, and on this side alone where it does not."""
        gone: tuple[type[Exception], ...] = (*self.connection_errors, AttributeError)
        try:
            super().close()
        except gone as error:
            logger.info("A channel is closed without Redis (%s); what it held is sent again by the sweep.", why(error))
            self._forget()
            super().close()

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        if not self.closed:
            with self._letting_go(delivery_tag):
                super().basic_ack(delivery_tag, multiple)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if not self.closed:
            with self._letting_go(delivery_tag):
                super().basic_reject(delivery_tag, requeue)

    @contextmanager
    def _letting_go(self, delivery_tag: str) -> Iterator[None]:
        """Whatever Redis says, the message is none that is worked at. Redis hands it out again, to no effect."""
        try:
            yield
        except self.connection_errors:
            cast("Any", self.qos)._quick_ack(delivery_tag)
            raise

    def _forget(self) -> None:
        """Have nothing left that closing would ask Redis about."""
        self._in_poll = None
        self.auto_delete_queues.clear()
        if (qos := cast("Any", self._qos)) is not None:
            qos._flush()
            qos._delivered.clear()
        self.closed = self.connection is None  # else the second close goes through all of it


class Channel(Leaving, Reading, kombu_redis.Channel):
    """One Redis."""


class SentinelChannel(Leaving, Reading, kombu_redis.SentinelChannel):
    """The master that Sentinel names."""


class Transport(kombu_redis.Transport):
    Channel = Channel
    connection_errors = (*kombu_redis.Transport.connection_errors, redis.ResponseError)


class SentinelTransport(kombu_redis.SentinelTransport):
    Channel = SentinelChannel
    connection_errors = Transport.connection_errors


def why(error: Exception) -> str:
    """What a client raised, short enough for a line. (Where there is no master, redis-py tells all of each client.)"""
    return str(error).partition(" : ")[0]


def register() -> None:
    """Have kombu use these wherever a URL says redis://, rediss://, redis+socket:// or sentinel://.

    By scheme, because a connection with several addresses chooses its transport by scheme at each of them, whatever
    `broker_transport` says (kombu.Connection.switch).
    """
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
