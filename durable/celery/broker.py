"""Connections to the broker with bounded waits, whatever the site's own options are, and our Redis transports."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import kombu.transport
from celery import Celery
from kombu import Connection


class Patience(NamedTuple):
    """Seconds to wait for the broker."""

    connect: float
    answer: float
    """Time for each answer."""


CLICK = Patience(0.4, 0.4)
"""A user waits."""
WORKER = Patience(2.0, 5.0)
"""No user waits: workers, Beat, the doctor."""

WORKER_DEFAULTS = {
    "socket_connect_timeout": WORKER.connect,
    "socket_timeout": WORKER.answer,
    "socket_keepalive": True,
    "health_check_interval": 10,  # a dead Redis machine is detected in 21 s; with kombu's default of 25, in 51 s
}
"""Redis options of workers and Beat that the site has not set."""


def connection(app: Celery, patience: Patience) -> Connection:
    """Return a new connection for publishing, not yet connected: the app's own, except that each wait is bounded.

    Each use tries to connect once. An app with several brokers uses the next one after `maybe_switch_next`.
    """
    options = app.conf.broker_transport_options
    bounds: dict[str, Any] = {"max_retries": 0}
    match driver(app):
        case "redis":
            bounds |= _redis_bounds(options, patience)
        case "amqp":
            bounds |= {"read_timeout": patience.answer, "write_timeout": patience.answer}
    made: Connection = app.connection_for_write(
        connect_timeout=patience.connect, transport_options={**options, **bounds}
    )
    return made


def _redis_bounds(options: dict[str, Any], patience: Patience) -> dict[str, Any]:
    sockets = {"socket_connect_timeout": patience.connect, "socket_timeout": patience.answer}
    bounds: dict[str, Any] = sockets | {"retry_on_timeout": False}
    if "master_name" in options:  # redis-py would try each dead sentinel four times
        bounds["sentinel_kwargs"] = (options.get("sentinel_kwargs") or {}) | sockets | {"retry": None}
    return bounds


def driver(app: Celery) -> str:
    """Return kombu's name for the kind of broker: "redis" (also with Sentinel), "amqp", "sqs" and so on."""
    if find_spec("redis") is None:  # kombu then cannot import its transport; a check names the missing package
        urls: Any = app.conf.broker_write_url or ""
        if (urls if isinstance(urls, str) else urls[0]).startswith(("redis", "sentinel")):
            return "redis"
    return str(app.connection_for_write().get_transport_cls().driver_type)


def bound_waits(app: Celery) -> None:
    """Add Redis timeouts to the app's options, for a worker or Beat. Values that the site has set are kept."""
    if driver(app) == "redis":
        app.conf.broker_transport_options = WORKER_DEFAULTS | dict(app.conf.broker_transport_options)


def register_transports() -> None:
    """Make kombu use our transports for redis://, rediss://, redis+socket:// and sentinel:// URLs.

    They are registered by scheme, because a connection with several addresses chooses the transport of each address by
    its scheme, whatever `broker_transport` is (kombu.Connection.switch). They are imported when a URL needs them: a
    site with another broker may not have the redis package.
    """
    if find_spec("redis") is None:
        return
    ours = {"redis": "Transport", "rediss": "Transport", "sentinel": "SentinelTransport"}
    for scheme, name in ours.items():
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"durable.celery.transport:{name}"
        # An earlier connection of this process may have filled kombu's cache.
        kombu.transport._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]  # the stubs lack it
