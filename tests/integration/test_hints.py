"""Tests of hints with a real Redis, from sites whose Celery apps have settings of their own and no timeouts."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, shared_task
from django.contrib.auth.models import User
from pytest_django import Settings

from deploy.redis_server import RedisServer, free_port, running
from durable.celery import hints
from durable.celery.site import NotInstalled
from durable.celery.tasks import durable_task
from durable.conf import CELERY
from exports.states import State
from tests.support.exports import Errands, ask, errands, registered
from tests.support.host_apps import installed, silent_server, unreachable_server

CLICK = 1.5
"""Longest time in seconds that a hint may cost a click."""
TASK = "tests.hints.work"


@durable_task(name=TASK)
def work(pk: int) -> None:
    ran.append(pk)
    if pk > 100:
        hints.send(TASK, [pk - 100])
        ran.append(-pk)


@shared_task(name="tests.hints.charge")
def charge(card: int) -> None: ...


ran: list[int] = []
"""Keys of the tasks that ran in this process."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path / "redis", port=free_port()) as made:
        yield made


@pytest.fixture(autouse=True)
def _new_connection() -> Iterator[None]:
    ran.clear()
    yield
    hints._mine.owner = ()


def received(app: Celery, queue: str = "celery") -> list[tuple[int, dict[str, Any]]]:
    """Take all messages out of a queue. Return the primary key and the headers of each."""
    with app.connection_for_read() as connection, closing(connection.SimpleQueue(queue)) as waiting:
        messages = [waiting.get(block=False) for _ in range(waiting.qsize())]
        for message in messages:
            message.accept = {"application/json", "application/x-python-serialize"}
            message.ack()
        return [(message.decode()[0][0], message.headers) for message in messages]


def seconds(send: Callable[[], None]) -> float:
    """Return how long it takes until `send` raises an error of the broker's client."""
    began = time.monotonic()
    with pytest.raises(Exception):  # noqa: B017, PT011 - each client has its own
        send()
    return time.monotonic() - began


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_hint_is_one_message_with_the_options_of_our_tasks(server: RedisServer) -> None:
    with installed(server.url, task_time_limit=7, task_ignore_result=False) as app:
        hints.send(TASK, [7, 8])
        one, two = received(app)
    assert (one[0], two[0]) == (7, 8)
    facts = {name: one[1][name] for name in ("task", "timelimit", "ignore_result", "compression")}
    assert facts == {
        "task": TASK, "timelimit": [300, 240], "ignore_result": True, "compression": "application/x-gzip",
    }  # fmt: skip


def test_a_task_that_this_process_has_not_imported_is_sent_alike(server: RedisServer) -> None:
    with installed(server.url) as app:
        hints.send("shop.labels.book", [7])
        ((pk, headers),) = received(app)
    assert (pk, headers["task"], headers["timelimit"]) == (7, "shop.labels.book", [300, 240])
    assert headers["compression"] == "application/x-gzip"


def test_the_options_of_the_sites_tasks_stay_its_own(server: RedisServer) -> None:
    with installed(server.url, task_time_limit=7) as app:
        theirs: Any = app.tasks["tests.hints.charge"]
        assert (theirs.acks_late, theirs.time_limit, theirs.ignore_result) == (False, 7, False)
        theirs.delay(1)
        ((_, headers),) = received(app)
    assert headers["timelimit"] == [7, None]
    assert "compression" not in headers


def test_task_routes_choose_the_queue(server: RedisServer) -> None:
    with installed(server.url, task_default_queue="site", task_routes={TASK: {"queue": "slow"}}) as app:
        hints.send(TASK, [7])
        hints.send("exports.tasks.plan_export", [8])
        assert [pk for pk, _ in received(app, "slow")] == [7]
        assert [pk for pk, _ in received(app, "site")] == [8]


def test_workers_that_refuse_json_get_their_own_serializer(server: RedisServer) -> None:
    with installed(server.url, accept_content=["pickle"], task_serializer="pickle") as app:
        hints.send(TASK, [7])
        hints.send("shop.labels.book", [8])
        assert [pk for pk, _ in received(app)] == [7, 8]
        assert app.tasks[TASK].serializer == "pickle"


def test_a_stored_result_does_not_involve_the_result_backend(server: RedisServer) -> None:
    """Celery subscribes to the result of each message that it sends, with the timeouts of the backend."""
    with silent_server() as port, installed(server.url, result_backend=f"redis://127.0.0.1:{port}") as app:
        began = time.monotonic()
        hints.send("exports.tasks.run_slot", [7])
        assert time.monotonic() - began < CLICK
        ((_, headers),) = received(app)
    assert headers["ignore_result"] is False


# --- a broker that is away ------------------------------------------------------------------------------------------


def test_a_frozen_redis_costs_a_click_little(server: RedisServer, tmp_path: Path) -> None:
    with installed(server.url):
        hints.send(TASK, [1])
        with closing(redis.Redis.from_url(server.url)) as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            assert seconds(lambda: hints.send(TASK, [2])) < CLICK  # with an open connection
            assert seconds(lambda: hints.send(TASK, [3, 4, 5])) < CLICK  # with a new one
        finally:
            os.kill(pid, signal.SIGCONT)
        hints.send(TASK, [6])


URLS = [
    "redis://127.0.0.1:{port}/0",
    "sentinel://127.0.0.1:{port}/0",
    "amqp://guest:guest@127.0.0.1:{port}//",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("away", [silent_server, unreachable_server])
def test_a_silent_or_unreachable_broker_costs_a_click_little(
    url: str, away: Callable[[], AbstractContextManager[int]]
) -> None:
    options = {"master_name": "master"} if url.startswith("sentinel") else {}
    with away() as port, installed(url.format(port=port), broker_transport_options=options):
        assert seconds(lambda: hints.send(TASK, [1])) < CLICK
        assert seconds(lambda: hints.send(TASK, [2, 3])) < CLICK


def test_a_connection_that_redis_has_closed_is_replaced(server: RedisServer) -> None:
    with installed(server.url) as app:
        hints.send(TASK, [1])
        with closing(redis.Redis.from_url(server.url)) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        hints.send(TASK, [2])
        assert [pk for pk, _ in received(app)] == [1, 2]


def test_the_next_broker_is_used_if_the_first_is_down(server: RedisServer) -> None:
    with installed(f"redis://127.0.0.1:{free_port()}/0;{server.url}") as app:
        hints.send(TASK, [1])
        app.conf.update(broker_url=server.url)
        assert [pk for pk, _ in received(app)] == [1]


# --- processes and threads ------------------------------------------------------------------------------------------


def test_threads_and_forked_processes_have_connections_of_their_own(server: RedisServer) -> None:
    with installed(server.url) as app:
        hints.send(TASK, [0])
        threads = [threading.Thread(target=hints.send, args=(TASK, [10 * n, 10 * n + 1])) for n in range(1, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if not child:
            hints.send(TASK, [100])
            os._exit(0)
        for n in range(101, 120):
            hints.send(TASK, [n])
        assert os.waitpid(child, 0)[1] == 0
        expected = {0, *(10 * n + m for n in range(1, 6) for m in (0, 1)), *range(100, 120)}
        assert sorted(pk for pk, _ in received(app)) == sorted(expected)


# --- a site without a broker, and a process without an app ------------------------------------------------------------


def test_an_eager_app_runs_the_tasks_here_one_after_the_other() -> None:
    """A task sends the next hint while it runs. The next task begins when it has ended, however many follow."""
    with installed("redis://127.0.0.1:1/0", task_always_eager=True):
        hints.send(TASK, [150, 3])
    assert ran == [150, -150, 3, 50]


def test_an_eager_task_that_fails_does_not_fail_the_click() -> None:
    with installed("redis://127.0.0.1:1/0", task_always_eager=True, task_eager_propagates=True):
        hints.send(TASK, ["no number", 7])  # type: ignore[list-item]
    assert ran == ["no number", 7]


def test_a_process_without_an_app_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable.celery.site._installed", [])
    with pytest.raises(NotInstalled, match="install"):
        hints.send(TASK, [7])


@pytest.mark.django_db
def test_an_eager_site_makes_the_export_within_the_click(ada: User, artifact_dir: Path, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": CELERY, "ROWS_PER_PART": 1}
    with installed("redis://127.0.0.1:1/0", task_always_eager=True), registered(Errands):
        errands(3)
        export = ask(ada)
    export.refresh_from_db()
    assert (export.state, export.parts.count()) == (State.READY, 3)
