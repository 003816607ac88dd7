"""Tests of the rows of workers, and of the windows that follow from them."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from durable.celery.workers import heart_of, running_at_once
from durable.clock import Now
from durable.sweep import Sweeper
from durable.workers import Heart, Worker, processes_of
from exports.pipeline import window
from tests.support.stack import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _window_of_the_workers(settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": None}


def worker(name: str, *queues: str, processes: int = 2) -> Heart:
    heart = Heart(name, queues, "1.0", lambda: processes)
    heart.beat()
    return heart


def lapse(name: str) -> None:
    Worker.objects.filter(name=name).update(seen_at=Now() - timedelta(seconds=31))


def test_processes_are_counted_by_queue() -> None:
    worker("a@one", "high")
    worker("b@one", "bulk", processes=4)
    worker("c@two", "bulk", "high", processes=8)
    assert processes_of(["high", "bulk", "other"]) == [10, 12, 0]


def test_the_windows_have_one_place_more_than_there_are_processes() -> None:
    worker("high@one", "high", processes=2)
    worker("bulk@one", "bulk", processes=2)
    assert window.sizes() == (3, 3, 3)
    worker("bulk@two", "bulk", processes=6)
    assert window.sizes() == (9, 3, 3)


def test_without_workers_the_windows_have_the_usual_size() -> None:
    assert window.sizes() == (3, 3, 3)


def test_a_fixed_window_is_kept(settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 7}
    worker("bulk@one", "bulk", processes=20)
    assert window.sizes() == (7, 7, 7)


def test_a_worker_that_is_silent_for_a_lease_does_not_count() -> None:
    heart = worker("a@one", "bulk")
    lapse("a@one")
    assert processes_of(["bulk"]) == [0]
    heart.beat()
    assert processes_of(["bulk"]) == [2]


def test_a_worker_that_shuts_down_does_not_count() -> None:
    worker("a@one", "bulk").stop()
    assert not Worker.objects.exists()


def test_the_row_follows_the_pool() -> None:
    pool = SimpleNamespace(num_processes=2)
    app = Celery("site", broker="memory://", set_as_current=False)
    app.conf.task_queues = None
    app.amqp.queues.select(["bulk"])
    consumer: Any = SimpleNamespace(app=app, hostname="bulk@one", pool=pool)
    heart = heart_of(consumer)
    heart.beat()
    pool.num_processes = 5
    heart.beat()
    row = Worker.objects.get()
    assert (row.name, row.queues, row.processes) == ("bulk@one", ["bulk"], 5)


def test_a_restarted_worker_has_a_new_start() -> None:
    worker("a@one", "bulk")
    Worker.objects.update(started_at=Now() - timedelta(hours=1))
    worker("a@one", "bulk")
    assert not Worker.objects.filter(started_at__lt=Now() - timedelta(minutes=1)).exists()


def test_rows_of_lost_workers_are_deleted_after_a_day() -> None:
    worker("lost@one", "bulk")
    Worker.objects.update(seen_at=Now() - timedelta(hours=25))
    worker("new@two", "bulk")
    assert list(Worker.objects.values_list("name", flat=True)) == ["new@two"]


def test_a_process_that_does_not_know_the_app_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    worker("a@one", "bulk")
    monkeypatch.setattr("durable.celery.site._installed", [])
    assert running_at_once("exports.tasks.render_part") == [0]


@pytest.mark.django_db(transaction=True)
def test_the_sweeper_writes_the_row_and_deletes_it_at_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SWEEP_EVERY": 0.05}
    monkeypatch.setattr("os.register_at_fork", lambda **_: None)  # it cannot be undone
    sweeper = Sweeper()
    sweeper.start(Heart("a@one", ["bulk"], "1.0", lambda: 2))
    wait_until(Worker.objects.exists, what="the row")
    sweeper.stop()
    wait_until(lambda: not Worker.objects.exists(), what="its end")


def test_the_admin_lists_them(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    worker("bulk@one", "bulk", processes=6)
    worker("bulk@two", "bulk")
    lapse("bulk@two")
    page = client.get("/admin/durable/worker/").content.decode()
    assert page.count('alt="True"') == page.count('alt="False"') == 1
    assert "bulk@one" in page
    assert client.get("/admin/durable/worker/add/").status_code == 403
