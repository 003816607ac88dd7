"""Tests of rejected messages and connection errors. Real messages: tests/acceptance/test_deploys.py."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
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

    def __init__(self, acknowledged: bool = False, task: str = "") -> None:
        self.acknowledged, self.rejected = acknowledged, 0
        self.headers = {"task": task}

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
    assert pauses(None, monkeypatch) == [1, 2, 3, 4, 5, 5]


def test_a_limited_number_of_retries_is_not_used_up_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses(5, monkeypatch) == [2, 4, 6, 8, 10]


def pauses(retries: int | None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the first pauses of a worker that cannot connect, with this broker_connection_max_retries."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if slept.count(0) == 6:  # each pause is slept second by second, and then its remainder
            raise OperationalError

    monkeypatch.setattr(functional, "sleep", sleep)
    monkeypatch.setitem(app.conf, "broker_connection_max_retries", retries)
    ours = Consumer.__new__(Consumer)
    ours.app = app
    with Connection("redis://127.0.0.1:1") as connection, pytest.raises(OperationalError):
        ours.ensure_connected(connection)
    ends = [index for index, seconds in enumerate(slept) if seconds == 0]
    return [sum(slept[begin:end]) for begin, end in pairwise([0, *ends])]


@pytest.mark.parametrize(
    ("task", "ours"),
    [("exports.tasks.of_tomorrow", True), ("shop.tasks.charge", False), ("exports.of_tomorrow", False)],
)
def test_only_an_unknown_task_of_ours_is_rejected_without_a_result(
    task: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_celery: list[Any] = []
    monkeypatch.setattr(consumer.Consumer, "on_unknown_task", lambda *given: by_celery.append(given))
    message = Message(task=task)
    made = Consumer.__new__(Consumer)
    made.app, made.connection_errors = app, LOST
    made.on_unknown_task(None, message, KeyError(task))  # type: ignore[arg-type]
    assert (message.rejected, len(by_celery)) == ((1, 0) if ours else (0, 1))


def test_a_body_that_celery_cannot_show_is_rejected() -> None:
    message = Message()  # it has no body
    ours = Consumer.__new__(Consumer)
    ours.connection_errors = LOST
    ours.on_decode_error(message, ValueError("no JSON"))  # type: ignore[arg-type]
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
