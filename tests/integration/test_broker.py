"""Tests with a real Redis: one that dies, one that may lose data, and one monitored by Sentinel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import kombu
import pytest
import redis
from celery import current_app
from celery.app.defaults import DEFAULTS
from django.test import Client

from config import celeryconfig, health, redis_url
from deploy.redis_server import RedisServer, answers, free_port, running
from durable.celery import broker, transport
from durable.celery.broker import Patience
from exports.upkeep import probes
from tests.support.sentinel import watched

PATIENT = 10.0
"""Timeout in seconds for an answer, on a machine that also runs other tests."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", Patience(PATIENT, PATIENT))
    monkeypatch.setattr(broker, "WORKER", Patience(PATIENT, PATIENT))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis server that the site uses."""
    with running(tmp_path / "redis", port=free_port()) as made:
        monkeypatch.setitem(current_app.conf, "broker_url", made.url)
        yield made


def ask(server: RedisServer, *command: str) -> Any:
    client: Any
    with closing(redis.Redis.from_url(server.url)) as client:
        return client.execute_command(*command)


# --- a Redis that dies ----------------------------------------------------------------------------------------------


def test_a_connection_to_a_dead_redis_can_be_closed(tmp_path: Path) -> None:
    """The state of a Celery worker: an unacknowledged message, a pending BRPOP, and a reply queue to be removed."""
    broker.register_transports()
    with running(tmp_path / "redis", port=free_port()) as server:
        connection = kombu.Connection(server.url)
        channel: Any = connection.default_channel
        replies = kombu.Queue("replies", kombu.Exchange("replies", "fanout"), auto_delete=True)
        consumer = kombu.Consumer(channel, [kombu.Queue("work"), replies], callbacks=[lambda body, message: None])
        consumer.consume()
        connection.Producer().publish({}, routing_key="work")
        for _ in range(2):
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.2)
        assert channel.qos._delivered
        assert channel._in_poll
    connection.collect()
    connection.close()
    assert channel.closed
    channel.basic_ack("a task that ended meanwhile")
    channel.basic_reject("another", requeue=True)


@pytest.mark.parametrize("answer", ["ack", "reject"])
def test_a_message_that_cannot_be_acknowledged_frees_its_place(server: RedisServer, answer: str) -> None:
    """Otherwise a worker whose tasks all end while Redis is a replica would take no more messages."""
    broker.register_transports()
    taken: list[Any] = []
    with kombu.Connection(server.url) as connection:
        channel: Any = connection.default_channel
        consumer = kombu.Consumer(channel, [kombu.Queue("work")], on_message=taken.append)
        consumer.qos(prefetch_count=1)
        consumer.consume()
        connection.Producer().publish({}, routing_key="work")
        connection.drain_events(timeout=5)
        assert not channel.qos.can_consume()
        ask(server, "REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(redis.ResponseError):
            getattr(taken[0], answer)()
        assert channel.qos.can_consume()
        ask(server, "REPLICAOF", "NO", "ONE")


def test_an_error_response_is_a_connection_error() -> None:
    for made in (transport.Transport, transport.SentinelTransport):
        assert {redis.ResponseError, redis.ConnectionError, redis.TimeoutError} <= set(made.connection_errors)


# --- a Redis that may lose data -------------------------------------------------------------------------------------


@contextmanager
def redis_faults(client: Client) -> Iterator[list[str]]:
    """Yield the Redis faults that the readiness page reports, after checking that the doctor reports the same."""
    answer = client.get("/readyz")
    assert answer.status_code == 200
    words = answer.content.decode().split("\n")
    assert words[0] == "ready"
    assert [line.removeprefix("Redis: ") for line in words[1:]] == [fault for fault in [probes._broker()] if fault]
    yield words[1:]


@pytest.mark.django_db
def test_a_redis_that_may_lose_data_is_reported_but_used(client: Client, server: RedisServer) -> None:
    with redis_faults(client) as words:
        assert words == []
    ask(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with redis_faults(client) as words:
        assert "allkeys-lru" in words[0]
        assert "set it to noeviction" in words[0]
    ask(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    ask(server, "CONFIG", "SET", "appendonly", "no")
    with redis_faults(client) as words:
        assert "set appendonly yes" in words[0]


@pytest.mark.django_db
def test_a_redis_that_hides_its_configuration_is_not_reported(client: Client, server: RedisServer) -> None:
    ask(server, "CONFIG", "SET", "appendonly", "no")
    ask(server, "ACL", "SETUSER", "default", "-info")
    with redis_faults(client) as words:
        assert words == []


# --- a Redis with Sentinel ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_all_clients_follow_the_master(tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """All servers have passwords, and one sentinel is down."""
    with watched(tmp_path / "trio", password="p@ss/w:rd") as trio:
        found = redis_url.broker(trio.url, PATIENT)
        monkeypatch.setitem(current_app.conf, "broker_url", found.url)
        options = current_app.conf.broker_transport_options | found.options
        monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
        assert (answers(trio.url, PATIENT), probes._broker(), client.get("/readyz").content) == ("", "", b"ready")

        trio.failover("kill")
        trio.kill("sentinel-1")

        assert (answers(trio.url, PATIENT), probes._broker(), client.get("/readyz").content) == ("", "", b"ready")
        with redis_url.connected(trio.url, PATIENT) as master:
            assert master.info("server")["tcp_port"] == trio.servers["two"]
        for name in ("sentinel-2", "sentinel-3"):
            trio.kill(name)
        assert "No master found" in answers(trio.url)
        assert client.get("/readyz").content == b"The broker does not answer."


# --- settings -------------------------------------------------------------------------------------------------------


def test_every_setting_exists_in_celery() -> None:
    known = set(DEFAULTS)
    given = {name for name, value in vars(celeryconfig).items() if name.islower() and not name.startswith("_")}
    given -= {name for name in given if isinstance(getattr(celeryconfig, name), ModuleType) or name == "settings"}
    assert given <= known, given - known
