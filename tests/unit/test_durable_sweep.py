"""Tests of hints and the sweep: lost hints are sent again, exhausted rows are parked, and nothing raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.utils import timezone
from pytest_django import Settings

from durable import hints, sweep
from durable.conf import durable_settings
from durable.databases import atomic
from durable.hints import publish, publish_on_commit
from durable.models import Work
from durable.sweep import Sweeper, SweptModel
from tests.support import hints as broker
from tests.support.errands import claim, errand, lapse, seen
from tests.support.threads import at_once
from tests.work.models import Errand

pytestmark = pytest.mark.django_db
TASK = "tests.run_errand"


def close(row: Errand) -> None:
    row.dead_rows().update(next_attempt_at=None, lease_until=None, done_by="parked")


@pytest.fixture(autouse=True)
def _only_errands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limit the sweep to errands."""
    monkeypatch.setattr(sweep, "_swept", {Errand: SweptModel(Errand, park=close)})
    monkeypatch.setattr(sweep, "_chores", {})
    yield


@pytest.fixture
def broker_down(settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": "tests.support.hints.refuse"}


# --- hints ----------------------------------------------------------------------------------------------------------


def test_a_hint_contains_the_task_name_and_keys() -> None:
    rows = [errand(), errand()]
    publish(rows)
    assert broker.sent == [(TASK, tuple(row.pk for row in rows))]


@pytest.mark.usefixtures("broker_down")
def test_a_broker_that_is_down_is_logged_and_the_row_marked(caplog: pytest.LogCaptureFixture) -> None:
    row = errand(published_at=timezone.now())
    with caplog.at_level(logging.WARNING):
        publish([row])
    assert seen(row)["published_at"] is None
    assert "Redis is down" in caplog.text


@pytest.mark.usefixtures("broker_down")
def test_a_broker_that_is_down_does_not_break_a_commit(committing: Callable[[], AbstractContextManager[None]]) -> None:
    row = errand(published_at=timezone.now())
    with committing(), atomic(Errand):
        publish_on_commit([row])
    assert seen(row)["published_at"] is None


def test_no_hint_is_sent_after_a_rollback(committing: Callable[[], AbstractContextManager[None]]) -> None:
    with committing(), pytest.raises(ZeroDivisionError), atomic(Errand):
        publish_on_commit([errand()])
        raise ZeroDivisionError
    assert broker.sent == []


def test_muted_hints_are_left_to_the_sweep() -> None:
    row = errand(published_at=timezone.now())
    with hints.muted():
        publish([row])
    assert broker.sent == []
    assert seen(row)["published_at"] is None
    assert hints.send(TASK, [row.pk])


def test_without_a_broker_nothing_is_sent(settings: Settings) -> None:
    settings.CARRYALL = {"SEND_HINT": None}
    assert not hints.send(TASK, [1])
    assert hints.send(TASK, []) is False


# --- the sweep ------------------------------------------------------------------------------------------------------


def test_rows_without_a_hint_are_published_once() -> None:
    row = errand()
    assert sweep.sweep() == {"errand: published": 1}
    assert broker.pks_of(TASK) == [row.pk]
    assert sweep.sweep() == {}


def test_a_lost_hint_is_sent_again(settings: Settings) -> None:
    row = errand(published_at=timezone.now())
    assert sweep.sweep() == {}
    Errand.objects.filter(pk=row.pk).update(published_at=Work.moment_in(-durable_settings().republish_after - 1))
    assert sweep.sweep() == {"errand: published": 1}


def test_held_closed_and_waiting_rows_are_left_alone() -> None:
    claim(errand())
    Errand.objects.filter(pk=errand().pk).update(next_attempt_at=None)
    Errand.objects.filter(pk=errand().pk).update(next_attempt_at=Work.moment_in(60))
    assert sweep.sweep() == {}


def test_a_row_with_an_expired_lease_is_published_again() -> None:
    lease = claim(errand())
    lapse(lease.work)
    assert sweep.sweep() == {"errand: published": 1}


def test_a_row_whose_last_attempt_died_is_parked_without_a_hint() -> None:
    row = errand(attempt=4)
    lapse(claim(row).work)
    assert sweep.sweep() == {"errand: parked": 1}
    assert seen(row)["next_attempt_at"] is None
    assert broker.sent == []
    assert sweep.sweep() == {}


def test_a_live_last_attempt_is_not_parked() -> None:
    claim(errand(attempt=4))
    assert sweep.sweep() == {}


def test_parking_leaves_a_row_alone_whose_holder_has_renewed_its_lease() -> None:
    lease = claim(errand(attempt=4))
    lapse(lease.work)
    stale = Errand.objects.get(pk=lease.work.pk)
    lease.save()
    close(stale)
    assert seen(stale)["done_by"] == ""


def test_a_row_that_cannot_be_parked_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [errand(attempt=5), errand(attempt=5)]

    def park(row: Errand) -> None:
        if row.pk == rows[0].pk:
            raise ZeroDivisionError
        close(row)

    monkeypatch.setattr(sweep, "_swept", {Errand: SweptModel(Errand, park=park)})
    assert sweep.sweep() == {"errand: parked": 1}
    assert [seen(row)["done_by"] for row in rows] == ["", "parked"]


def test_a_broken_step_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sweep.register_chore("broken", lambda: 1 // 0)
    sweep.register_chore("sound", lambda: 3)
    errand()
    assert sweep.sweep() == {"errand: published": 1, "sound": 3}
    assert "'broken' failed" in caplog.text


def test_an_app_can_publish_its_rows_itself() -> None:
    sweep.register(SweptModel(Errand, park=close, publishes=None))
    errand()
    assert sweep.sweep() == {}


@pytest.mark.usefixtures("broker_down")
def test_a_sweep_without_a_broker_leaves_the_rows_to_the_next_sweep() -> None:
    row = errand()
    sweep.sweep()
    assert seen(row)["published_at"] is None


@pytest.mark.django_db(transaction=True)
def test_concurrent_sweeps_publish_each_row_once() -> None:
    rows = [errand() for _ in range(20)]
    lapse(*[claim(errand(attempt=4)).work for _ in range(5)])
    at_once(sweep.sweep, sweep.sweep, sweep.sweep)
    assert sorted(broker.pks_of(TASK)) == [row.pk for row in rows]
    assert Errand.objects.filter(done_by="parked").count() == 5


@pytest.mark.django_db(transaction=True)
def test_the_sweeper_sweeps_until_it_is_stopped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SWEEP_EVERY": 0.01}
    monkeypatch.setattr("os.register_at_fork", lambda **_: None)  # it cannot be undone
    swept = threading.Event()

    def chore() -> int:
        swept.set()
        return 1

    sweep.register_chore("seen", chore)
    sweeper = Sweeper()
    sweeper.start()
    thread = sweeper._thread
    sweeper.start()
    assert thread is sweeper._thread
    assert swept.wait(5)
    sweeper.stop()
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
