"""BROKER_URL as Celery settings, with the reason for each that differs from the default.

redis://, rediss://, unix://, sentinel://, sentinels://     config/redis_url.py; valkey:// and valkeys:// mean the same
amqp://user:password@host:5672/vhost                        RabbitMQ; amqps:// with TLS
sqs://key:secret@?region=eu-central-1                       Amazon SQS; with host:port, another server of its protocol

Special characters are percent-encoded.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from config import redis_url

SENTINEL_SECONDS = 0.4
"""Seconds to wait for each sentinel."""
LONGEST = 900
"""Seconds until a message that was not acknowledged is delivered again: more than a task may take (300)."""


@dataclass(frozen=True)
class Broker:
    """A broker as Celery settings."""

    url: str
    options: dict[str, Any]
    """broker_transport_options."""
    use_ssl: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    """Further settings of Celery."""


def is_redis(url: str) -> bool:
    """Return whether the broker is a Redis, or a Valkey, which speaks the same protocol."""
    return url.partition("://")[0] not in ("amqp", "amqps", "sqs")


def canonical(url: str) -> str:
    """Return the URL of a Valkey as that of a Redis. Others are returned as they are."""
    return url.replace("valkey", "redis", 1) if url.startswith(("valkey://", "valkeys://")) else url


def fault(url: str) -> str:
    """Return what is wrong with a URL, as the second half of a sentence without the password, or ""."""
    if is_redis(url):
        return redis_url.fault(canonical(url))
    parts = urlsplit(url)
    try:
        wrong = parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        return "has a port that is not a number from 1 to 65535"
    if parts.scheme == "sqs":
        return "" if find_spec("pycurl") else "needs the packages of requirements/sqs.txt"
    return "" if parts.hostname else "names no host"


def celery(url: str) -> Broker:
    """Return the Celery settings for a URL without a fault."""
    make: Callable[[str], Broker] = {"amqp": _rabbitmq, "amqps": _rabbitmq, "sqs": _sqs}.get(
        url.partition("://")[0], _redis
    )
    return make(url)


def _redis(url: str) -> Broker:
    broker = redis_url.broker(canonical(url), SENTINEL_SECONDS)
    options = {
        "visibility_timeout": LONGEST,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,  # of workers and of pages that ask Redis; a click waits less (durable/celery/broker.py)
        "socket_connect_timeout": 2,
        "queue_order_strategy": "priority",
        "global_keyprefix": "carryall:",
    }
    # Prefetch nothing, so that the order chosen in the database is kept. Celery can do so with Redis alone.
    return Broker(broker.url, options | broker.options, broker.use_ssl, {"worker_disable_prefetch": True})


def _rabbitmq(url: str) -> Broker:
    """Quorum queues survive the loss of a node, and publishing waits until a majority has the message."""
    settings = {
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        "task_default_exchange_type": "topic",  # Celery warns of others; the routing keys are the names of the queues
        "broker_heartbeat": 10,  # seconds; a dead machine is detected after two, by default after four minutes
    }
    # Without the name, py-amqp accepts the certificate of any host.
    verified = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": urlsplit(url).hostname}
    return Broker(url, {"confirm_publish": True}, verified if url.startswith("amqps://") else None, settings)


def _sqs(url: str) -> Broker:
    """Messages are taken by long polling. Remote control and events, and so Flower, do not exist with SQS."""
    given = dict(parse_qsl(urlsplit(url).query))
    options: dict[str, Any] = {
        "region": given.get("region", "us-east-1"),
        "visibility_timeout": LONGEST,
        "wait_time_seconds": 5,  # of a long poll; a queue that stays empty costs twelve requests a minute
        "polling_interval": 0.2,
        "queue_name_prefix": "carryall-",
    }
    if given.get("secure") == "0":  # http instead of https
        options["is_secure"] = False
    settings = {"worker_enable_remote_control": False, "worker_send_task_events": False}
    return Broker(url.partition("?")[0], options, None, settings)
