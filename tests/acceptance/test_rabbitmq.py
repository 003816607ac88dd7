"""The site on a real RabbitMQ, without any Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Start
from tests.support.rabbitmq import RabbitServer, running
from tests.support.stack import Stack, wait_until

CLICK = 5.0
"""Seconds that a click may take at most while the broker is silent, on a busy machine. The waits are below one."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RabbitServer]:
    with running(tmp_path / "rabbitmq") as made:
        yield made


@pytest.fixture
def stack(start: Start, server: RabbitServer) -> Stack:
    stack = start(BROKER_URL=server.url)
    stack.kill("redis")
    return stack


def test_exports_complete_and_survive_a_restart_and_a_silent_broker(stack: Stack, server: RabbitServer) -> None:
    person = stack.signed_in()
    first = person.export(format="csv")
    assert person.await_end(first)["state"] == "ready"
    queues = dict(line.split() for line in server.control("list_queues", "name", "type").splitlines())
    assert (queues["high"], queues["bulk"]) == ("quorum", "quorum")

    big = person.export(format="xlsx")
    wait_until(lambda: person.look(big)["rows_done"], what="the beginning of the export")
    server.kill()
    missed = person.export(format="jsonl")
    server.start()
    for export in (big, missed):
        assert person.await_end(export, 120)["state"] == "ready"

    server.freeze()
    began = time.monotonic()
    late = person.export(format="json")
    assert time.monotonic() - began < CLICK
    assert stack.browser().get("/readyz").text == "The broker does not answer."
    server.thaw()
    assert person.await_end(late, 120)["state"] == "ready"
