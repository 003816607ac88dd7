"""Tests of REDIS_URL: its forms as options of redis-py and kombu, and messages for invalid URLs."""

from __future__ import annotations

import ssl
from typing import Any

import kombu
import pytest
from kombu.transport.redis import SentinelManagedSSLConnection

from config import redis_url
from config.redis_url import Watched
from durable.celery import broker, transport

SENTINEL = "sentinel://app:p%40ss@one:26379,two,[::1]:26381/main/3?sentinel_username=s&sentinel_password=o%2Fwn"


def test_a_sentinel_url_is_parsed() -> None:
    assert redis_url.watched(SENTINEL) == Watched(
        sentinels=(("one", 26379), ("two", 26379), ("::1", 26381)),
        master="main",
        database=3,
        username="app",
        password="p@ss",
        own={"username": "s", "password": "o/wn"},
    )


def test_passwords_are_not_in_the_repr() -> None:
    shown = repr(redis_url.watched(SENTINEL))
    assert "p@ss" not in shown
    assert "o/wn" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://user:p%40ss@host:6379/0",
        "rediss://:p@host:6380/1?ssl_ca_certs=/ca.pem",
        "redis://[::1]:6379/0",
        "unix:///var/run/redis.sock",
        "sentinel://host/main",
        "sentinel://:p@a:1,b:2,c:3/main/0",
        "sentinels://a:1,b:2/main?ssl_ca_certs=/ca.pem",
        SENTINEL,
    ],
)
def test_valid_urls_have_no_fault(url: str) -> None:
    assert redis_url.fault(url) == ""


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is not the URL of a broker"),
        ("host:6379", "is not the URL of a broker"),
        ("http://host", "is not the URL of a broker"),
        ("redis://[secret", "is not the URL of a broker"),
        ("redis://:secret@host:port/0", "has a port that is not a number from 1 to 65535"),
        ("redis://:secret@host:0/0", "has a port that is not a number from 1 to 65535"),
        ("redis://:secret@host:70000/0", "has a port that is not a number from 1 to 65535"),
        ("redis://:secret@host/main", "has a database that is not a number"),
        ("sentinel://:secret@host:26379", "names no master after the addresses of the sentinels"),
        ("sentinel://:secret@host:26379/", "names no master after the addresses of the sentinels"),
        ("sentinel://:secret@host/main/none", "has a database that is not a number"),
        ("sentinel://:secret@host:port/main", "has a sentinel that is not host:port"),
        ("sentinel://:secret@host:0/main", "has a sentinel that is not host:port"),
        ("sentinel://:secret@host:99999/main", "has a sentinel that is not host:port"),
        ("sentinel://:secret@one,,two/main", "has a sentinel that is not host:port"),
        ("sentinel:///main", "has a sentinel that is not host:port"),
        ("sentinel://:secret@host/main?master=x", "has an unknown option: master"),
        ("sentinel://:secret@host/main?ssl_ca_certs=x", "has an unknown option: ssl_ca_certs"),
    ],
)
def test_faults_do_not_contain_the_password(url: str, message: str) -> None:
    assert redis_url.fault(url) == message


def connection(url: str) -> kombu.Connection:
    """Return a connection of kombu, created as Celery does."""
    broker.register_transports()
    found = redis_url.broker(url, 0.5)
    return kombu.Connection(found.url, transport_options=found.options, ssl=found.use_ssl or False)


def test_kombu_has_the_addresses_of_all_sentinels() -> None:
    made = connection(SENTINEL)
    assert isinstance(made.transport, transport.SentinelTransport)
    assert [made.hostname, made.port, made.virtual_host] == ["one", 26379, "3"]
    assert [made.userid, made.password] == ["app", "p@ss"]
    assert (made.transport_options or {})["master_name"] == "main"
    assert len(made.alt) == 3
    made.switch(made.alt[2])
    assert [made.hostname, made.port, made.password] == ["::1", 26381, "p@ss"]
    assert isinstance(made.transport, transport.SentinelTransport)


def test_a_sentinel_is_queried_once_with_a_short_timeout() -> None:
    """By default redis-py tries each sentinel four times with pauses, and a web request would wait for that."""
    options = redis_url.broker(SENTINEL, 0.5).options["sentinel_kwargs"]
    expected: dict[str, Any] = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": None}
    assert options == expected | {"username": "s", "password": "o/wn"}


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///x/redis.sock"])
def test_a_single_server_uses_our_transport(url: str) -> None:
    assert type(connection(url).transport) is transport.Transport


def test_certificates_are_checked_unless_the_url_disables_it() -> None:
    """By default kombu accepts any certificate."""
    assert connection("rediss://h").ssl == {"ssl_cert_reqs": "required"}
    assert connection("rediss://h?ssl_cert_reqs=none").ssl == {"ssl_cert_reqs": ssl.CERT_NONE}
    assert connection("rediss://h?ssl_ca_certs=/ca").ssl == {"ssl_ca_certs": "/ca"}
    assert not connection("redis://h").ssl


def test_tls_applies_to_sentinels_too() -> None:
    found = redis_url.broker("sentinels://a,b/main?ssl_ca_certs=/ca", 1)
    tls = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca"}
    assert found.use_ssl == tls
    assert found.options["sentinel_kwargs"].items() >= ({"ssl": True} | tls).items()
    assert transport.SentinelChannel.connection_class_ssl is SentinelManagedSSLConnection
