"""Tests of rejected messages and connection errors. Real messages: tests/acceptance/test_deploys.py."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

import pytest
from celery.worker import consumer
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.utils import functional

from config.celery import app
from durable.celery.messages import Consumer, TolerantChannel

LOST = (ConnectionError, KeyError)
"""kombu counts KeyError among the errors of a Redis connection."""


class Message:
    """The part of kombu's Message that the consumer uses."""

    headers = "of any kind"

    def __init__(self, acknowledged: bool = False) -> None:
        self.acknowledged, self.rejected = acknowledged, 0

    def reject_log_error(self, *_: Any) -> None:
        self.rejected += 1


def raising(error: Exception | None) -> Callable[..., Any]:
    def fail(*_: Any) -> None:
        if error is not None:
            raise error

    return fail


def handle(message: Any, error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer.Consumer, "create_task_handler", lambda _: raising(error))
    ours = Consumer.__new__(Consumer)
    ours.connection_errors = LOST
    ours.create_task_handler()(message)


@pytest.mark.parametrize("error", [ValueError("too few"), TypeError("no list"), KeyError("id")], ids=repr)
def test_an_unreadable_message_is_rejected_once(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    message, acknowledged_message = Message(), Message(acknowledged=True)
    handle(message, error, monkeypatch)
    handle(acknowledged_message, error, monkeypatch)
    assert (message.rejected, acknowledged_message.rejected) == (1, 0)


def test_a_lost_connection_does_not_reject_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message()
    with pytest.raises(ConnectionResetError):
        handle(message, ConnectionResetError(), monkeypatch)
    assert not message.rejected


def test_a_readable_message_is_not_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message()
    handle(message, None, monkeypatch)
    assert not message.rejected


def test_the_worker_tries_to_reconnect_to_redis_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(functional, "sleep", slept.append)
    monkeypatch.setitem(app.conf, "broker_connection_max_retries", 7)
    ours = Consumer.__new__(Consumer)
    ours.app = app
    with Connection("redis://127.0.0.1:1") as connection, pytest.raises(OperationalError):
        ours.ensure_connected(connection)
    assert sum(slept) == 1 + 2 + 3 + 4 + 5 + 5 + 5


@pytest.mark.parametrize("method", ["on_unknown_task", "on_decode_error"])
def test_messages_that_celery_reports_are_rejected_without_a_result(method: str) -> None:
    message = Message()
    ours = Consumer.__new__(Consumer)
    ours.connection_errors = LOST
    arguments = (None, message) if method == "on_unknown_task" else (message,)
    getattr(ours, method)(*arguments, KeyError("exports.tasks.of_tomorrow"))
    assert message.rejected == 1


def read(error: Exception) -> Any:
    class Channel(TolerantChannel, type("Base", (), {"_brpop_read": raising(error)})):  # type: ignore[misc]
        connection_errors = LOST

    return Channel()._brpop_read()


@pytest.mark.parametrize("error", [ValueError("no JSON"), KeyError("properties"), TypeError("a list")], ids=repr)
def test_a_queue_entry_that_is_not_a_message_is_discarded(error: Exception) -> None:
    assert read(error) is True


@pytest.mark.parametrize("error", [Empty(), ConnectionResetError()], ids=repr)
def test_an_empty_queue_and_a_lost_connection_are_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        read(error)
