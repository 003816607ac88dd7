"""Tests of `durable.celery.install`: what it connects, and what is left to the site. Workers: tests/acceptance."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task, shared_task, signals
from celery.app.defaults import DEFAULTS
from celery.worker import consumer

from deploy.steps import ROOT
from durable import celery as durable_celery
from durable.celery import CONSUMER, broker, hints, site
from durable.celery.broker import CLICK, WORKER, WORKER_DEFAULTS
from durable.celery.tasks import DurableTask, durable_task
from tests.support.host_apps import installed

URL = "redis://127.0.0.1:1/0"


@shared_task
def charge(card: int) -> None: ...


@durable_task
def book(pk: int) -> None: ...


@durable_task(ignore_result=False)
def count(pk: int) -> int:
    return pk


# --- the app --------------------------------------------------------------------------------------------------------


def test_the_app_may_be_without_configuration_and_stays_so() -> None:
    before = list(site._installed)
    app: Any = Celery("shop", set_as_current=False, fixups=[])
    app.config_from_object("no.such.module")
    try:
        durable_celery.install(app)
        assert not app.configured
        assert site.installed() == (app, __name__)
    finally:
        site._installed[:] = before


def test_a_second_call_connects_nothing_twice() -> None:
    connected = [signals.celeryd_init, signals.beat_init, signals.worker_ready, signals.worker_shutting_down]
    before = [len(signal.receivers) for signal in connected]
    with installed(URL) as app:
        durable_celery.install(app)
        durable_celery.install(app)
    assert [len(signal.receivers) for signal in connected] == before


def test_a_web_process_changes_no_setting() -> None:
    settings: dict[str, Any] = {"broker_url": URL, "task_time_limit": 7}
    plain = Celery("plain", set_as_current=False, fixups=[], changes=settings)
    with installed(**settings) as app:
        assert dict(app.conf) == dict(plain.conf)


RABBITMQ = """
import sys
sys.modules["redis"] = None  # the package is not installed
import kombu.transport
from celery import Celery
before = dict(kombu.transport.TRANSPORT_ALIASES)
from durable.celery import hints, install, messages, shutdown, tasks
install(Celery("shop", broker="amqp://"))
assert kombu.transport.TRANSPORT_ALIASES == before
assert "kombu.transport.redis" not in sys.modules
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_site_with_rabbitmq_needs_no_redis_package() -> None:
    run(RABBITMQ)


def test_a_transport_that_was_in_use_before_is_replaced() -> None:
    run(f"""
from kombu import Connection
from celery import Celery
Connection({URL!r}).transport
from durable.celery import install
install(Celery("shop"))
assert type(Connection({URL!r}).transport).__module__ == "durable.celery.transport"
""")


# --- workers and Beat -------------------------------------------------------------------------------------------------


@pytest.fixture
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_patience", CLICK)


@pytest.mark.usefixtures("_patience")
def test_a_worker_gets_timeouts_and_the_consumer_that_the_site_has_not_chosen() -> None:
    given = {"socket_timeout": 60, "visibility_timeout": 7200}
    with installed(URL, broker_transport_options=given) as app:
        durable_celery._prepare_worker(SimpleNamespace(app=app))
        assert app.conf.broker_transport_options == WORKER_DEFAULTS | given
        assert app.conf.worker_consumer == CONSUMER
        assert hints._patience == WORKER
    assert given == {"socket_timeout": 60, "visibility_timeout": 7200}


@pytest.mark.usefixtures("_patience")
def test_a_consumer_of_the_site_is_kept() -> None:
    with installed(URL, worker_consumer="shop.worker:Consumer") as app:
        durable_celery._prepare_worker(SimpleNamespace(app=app))
        assert app.conf.worker_consumer == "shop.worker:Consumer"


@pytest.mark.usefixtures("_patience")
def test_beat_gets_timeouts() -> None:
    with installed(URL) as app:
        durable_celery._prepare_beat(SimpleNamespace(app=app))
        assert app.conf.broker_transport_options == WORKER_DEFAULTS


@pytest.mark.usefixtures("_patience")
def test_another_broker_gets_no_options_of_redis() -> None:
    with installed("amqp://") as app:
        durable_celery._prepare_worker(SimpleNamespace(app=app))
        assert app.conf.broker_transport_options == {}


def test_the_default_consumer_is_celerys() -> None:
    default: Any = DEFAULTS["worker_consumer"]
    assert default.replace(":", ".") == f"{consumer.__name__}.Consumer"


def test_a_worker_in_a_thread_of_a_test_starts_no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """celery.contrib.testing starts such workers, in a process whose database is the test's."""
    started: list[Any] = []
    monkeypatch.setattr("durable.celery.workers.heart_of", lambda consumer: f"the heart of {consumer}")
    monkeypatch.setattr("durable.sweep.sweeper.start", started.append)
    monkeypatch.setattr("durable.celery.shutdown.shutdown.start", started.append)
    thread = threading.Thread(target=durable_celery._stand_by, args=["a consumer"])
    thread.start()
    thread.join()
    assert started == []
    durable_celery._stand_by("a consumer")
    assert started == ["the heart of a consumer", "a consumer"]


# --- tasks ------------------------------------------------------------------------------------------------------------

OURS = {
    "acks_late": True, "acks_on_failure": True, "acks_on_timeout": True, "reject_on_worker_lost": False,
    "retry_on_worker_lost": False, "soft_time_limit": 240, "time_limit": 300, "ignore_result": True,
    "store_errors_even_if_ignored": False, "serializer": "json", "compression": "gzip",
}  # fmt: skip
OPPOSITE: dict[str, Any] = {
    "task_acks_late": False, "task_acks_on_failure": False, "task_acks_on_timeout": False,
    "task_acks_on_failure_or_timeout": False, "task_reject_on_worker_lost": True, "task_retry_on_worker_lost": True,
    "task_soft_time_limit": 5, "task_time_limit": 9, "task_ignore_result": False,
    "task_store_errors_even_if_ignored": True, "task_compression": "bzip2", "task_default_rate_limit": "1/h",
}  # fmt: skip


def tasks_of(app: Celery) -> tuple[Any, Any, Any]:
    return tuple(app.tasks[f"{__name__}.{name}"] for name in ("charge", "book", "count"))  # type: ignore[return-value]


def test_our_tasks_have_our_options_whatever_the_sites_are() -> None:
    with installed(URL, **OPPOSITE) as app:
        _, ours, with_result = tasks_of(app)
        assert {name: getattr(ours, name) for name in OURS} == OURS
        assert with_result.ignore_result is False
        assert not ours.rate_limit


def test_the_sites_tasks_have_exactly_the_sites_options() -> None:
    plain = Celery("plain", set_as_current=False, fixups=[], changes=OPPOSITE)
    with installed(URL, **OPPOSITE) as app:
        theirs, as_before = tasks_of(app)[0], tasks_of(plain)[0]
        names = [*(name for name, _ in Task.from_config), "acks_on_failure", "acks_on_timeout"]
        assert {name: getattr(theirs, name) for name in names} == {name: getattr(as_before, name) for name in names}
        assert not isinstance(theirs, DurableTask)


def test_options_of_one_task_can_be_changed_with_celerys_annotations() -> None:
    with installed(URL, task_annotations={f"{__name__}.book": {"time_limit": 900}}) as app:
        assert tasks_of(app)[1].time_limit == 900


def test_a_message_waits_as_briefly_for_any_kind_of_broker() -> None:
    sentinel = {"master_name": "main", "sentinel_kwargs": {"password": "p", "socket_timeout": 60}, "socket_timeout": 60}
    with installed("sentinel://127.0.0.1:1/0", broker_transport_options=sentinel) as app:
        options: Any = broker.connection(app, CLICK).transport_options
        assert (options["socket_timeout"], options["socket_connect_timeout"]) == (CLICK.answer, CLICK.connect)
        assert options["sentinel_kwargs"] == {
            "password": "p", "socket_timeout": CLICK.answer, "socket_connect_timeout": CLICK.connect, "retry": None,
        }  # fmt: skip
        assert app.conf.broker_transport_options == sentinel
    with installed("amqp://") as app:
        assert broker.connection(app, CLICK).connect_timeout == CLICK.connect
