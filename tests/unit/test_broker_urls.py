"""Tests of BROKER_URL: its forms as Celery settings, messages for invalid URLs, and the certificates of RabbitMQ."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import DEFAULTS

from config import broker
from tests.support.certificates import certificate


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:6379/0", "valkey://h", "valkeys://user:p%40ss@h:1/2", "sentinel://h/master", "amqp://u:p@h:5672/v", "amqps://h",
        "sqs://key:secret@", "sqs://key:secret@127.0.0.1:4566?secure=0",
    ],
)  # fmt: skip
def test_these_urls_are_valid(url: str) -> None:
    assert broker.fault(url) == ""
    assert set(broker.celery(url).settings) <= set(DEFAULTS)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("kafka://h", "is not the URL of a broker"),
        ("amqp://", "names no host"),
        ("amqp://h:port/", "has a port that is not a number from 1 to 65535"),
        ("amqp://h:0/", "has a port that is not a number from 1 to 65535"),
        ("valkey://h/name", "has a database that is not a number"),
    ],
)
def test_other_urls_are_refused_with_the_reason(url: str, fault: str) -> None:
    assert broker.fault(url) == fault


def test_sqs_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "find_spec", lambda name: None)
    assert "requirements/sqs.txt" in broker.fault("sqs://key:secret@")


def test_a_valkey_is_a_redis() -> None:
    assert broker.celery("valkeys://u:p@h/1") == broker.celery("rediss://u:p@h/1")
    assert broker.celery("valkey://h").url == "redis://h"


def test_the_options_of_sqs_are_in_the_url() -> None:
    found = broker.celery("sqs://key:secret@127.0.0.1:4566?region=eu-central-1&secure=0")
    assert found.url == "sqs://key:secret@127.0.0.1:4566"
    assert (found.options["region"], found.options["is_secure"]) == ("eu-central-1", False)
    assert "is_secure" not in broker.celery("sqs://key:secret@").options


@contextmanager
def tls_server(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Serve TLS with this certificate. Yield the port, and a list of what was received."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    received: list[bytes] = []
    with create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                        received.append(secured.recv(4))

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], received
        server.shutdown(2)  # ends accept()


@pytest.mark.parametrize(("name", "accepted"), [("localhost", True), ("evil.example", False)])
def test_the_certificate_of_a_rabbitmq_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, accepted: bool
) -> None:
    trusted = certificate(name, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with tls_server(trusted) as (port, received):
        found = broker.celery(f"amqps://u:p@localhost:{port}/")
        app: Any = Celery(broker=found.url, set_as_current=False)
        app.conf.broker_use_ssl = found.use_ssl
        connection = app.connection_for_write(connect_timeout=5)
        with pytest.raises((ssl.SSLCertVerificationError, OSError)) as caught:
            connection.connect()
        assert isinstance(caught.value, ssl.SSLCertVerificationError) is not accepted
        assert set(received) == ({b"AMQP"} if accepted else set())  # it tries twice
