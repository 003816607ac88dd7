"""The broker as the site's processes meet it: a real Redis, one that goes away, and one under Sentinel's watch."""

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
from pytest_django import Settings

from config import celeryconfig, health, redis_url
from deploy.redis_server import RedisServer, answers, free_port, running
from durable.celery import transport
from exports.upkeep import probes
from tests.support.sentinel import watched

PATIENT = 10.0
"""Seconds for an answer on a machine that is busy with other tests."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REDIS_SECONDS", PATIENT)


@pytest.fixture
def server(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis that the site uses."""
    with running(tmp_path / "redis", port=free_port()) as made:
        settings.REDIS_URL = made.url
        monkeypatch.setitem(current_app.conf, "broker_url", made.url)
        yield made


def ask(server: RedisServer, *command: str) -> Any:
    client: Any
    with closing(redis.Redis.from_url(server.url)) as client:
        return client.execute_command(*command)


# --- one that goes away ---------------------------------------------------------------------------------------------


def test_a_connection_whose_redis_has_gone_can_be_closed(tmp_path: Path) -> None:
    """As Celery does: a message is not acknowledged, another is waited for, and a reply queue is to be removed."""
    transport.register()
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
def test_a_message_that_cannot_be_acknowledged_takes_up_no_place(server: RedisServer, answer: str) -> None:
    """Else a worker whose tasks all end while Redis is a replica would take no message any more."""
    transport.register()
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


def test_what_a_server_refuses_is_a_reason_to_connect_anew() -> None:
    for made in (transport.Transport, transport.SentinelTransport):
        assert {redis.ResponseError, redis.ConnectionError, redis.TimeoutError} <= set(made.connection_errors)


# --- one that forgets -----------------------------------------------------------------------------------------------


@contextmanager
def said(client: Client) -> Iterator[list[str]]:
    """What readiness says of Redis, and the doctor; both agree."""
    answer = client.get("/readyz")
    assert answer.status_code == 200
    words = answer.content.decode().split("\n")
    assert words[0] == "ready"
    assert [line.removeprefix("Redis: ") for line in words[1:]] == [fault for fault in [probes._redis()] if fault]
    yield words[1:]


@pytest.mark.django_db
def test_a_redis_that_may_forget_is_said_and_used(client: Client, server: RedisServer) -> None:
    with said(client) as words:
        assert words == []
    ask(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with said(client) as words:
        assert "allkeys-lru" in words[0]
        assert "set it to noeviction" in words[0]
    ask(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    ask(server, "CONFIG", "SET", "appendonly", "no")
    with said(client) as words:
        assert "set appendonly yes" in words[0]


@pytest.mark.django_db
def test_a_redis_that_does_not_say_how_it_is_set_up_is_well(client: Client, server: RedisServer) -> None:
    ask(server, "CONFIG", "SET", "appendonly", "no")
    ask(server, "ACL", "SETUSER", "default", "-info")
    with said(client) as words:
        assert words == []


# --- one under Sentinel's watch -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_everybody_follows_the_master(
    tmp_path: Path, client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With passwords everywhere, and a sentinel that is away."""
    with watched(tmp_path / "trio", password="p@ss/w:rd") as trio:
        settings.REDIS_URL = trio.url
        found = redis_url.broker(trio.url, PATIENT)
        patient = {"socket_timeout": PATIENT, "socket_connect_timeout": PATIENT} | found.options
        monkeypatch.setitem(current_app.conf, "broker_url", found.url)
        options = current_app.conf.broker_transport_options | patient
        monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
        assert (answers(trio.url, PATIENT), probes._redis(), client.get("/readyz").content) == ("", "", b"ready")

        trio.failover("kill")
        trio.kill("sentinel-1")

        assert (answers(trio.url, PATIENT), probes._redis(), client.get("/readyz").content) == ("", "", b"ready")
        with redis_url.connected(trio.url, PATIENT) as master:
            assert master.info("server")["tcp_port"] == trio.servers["two"]
        for name in ("sentinel-2", "sentinel-3"):
            trio.kill(name)
        assert "No master found" in answers(trio.url)
        assert client.get("/readyz").content == b"Redis does not answer."


# --- settings -------------------------------------------------------------------------------------------------------


def test_every_setting_is_one_that_celery_knows() -> None:
    known = set(DEFAULTS)
    given = {name for name, value in vars(celeryconfig).items() if name.islower() and not name.startswith("_")}
    given -= {name for name in given if isinstance(getattr(celeryconfig, name), ModuleType) or name == "settings"}
    assert given <= known, given - known
