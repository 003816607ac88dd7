"""Tests of exports in one process, without a broker: the same rows, steps and notifications."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from exports.intake.requests import cancel_export
from exports.models import Export, Part
from exports.pipeline import inline
from exports.states import State
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import Errands, ask, committed, content_of, errands, export_in, registered, told

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


@pytest.fixture(autouse=True)
def _small_parts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    monkeypatch.setattr(inline, "PAUSE", 0.01)
    errands(25)
    with registered(Errands):
        yield


def run_inline(export: Export) -> list[str]:
    """Run the export to its end, and return the states on the way."""
    seen: list[str] = []
    with committed():
        inline.run_inline(export, lambda now: seen.append(str(now.state)))
    return seen


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_export_becomes_ready_without_a_hint(ada: User, kind: str) -> None:
    export = ask(ada, kind)
    hints.sent.clear()
    seen = run_inline(export)
    assert list(dict.fromkeys(seen)) == ["queued", "rendering", "assembling", "ready"]
    assert (export.rows, len(content_of(export)) > 100, told(ada)) == (25, True, ["export_ready"])
    assert [task for task, _ in hints.sent if task.startswith("exports.")] == []


def test_a_step_of_a_dead_worker_is_taken_over(ada: User) -> None:
    export = ask(ada)
    assert Export.objects.claim(export.pk) is not None
    lapse(export)
    run_inline(export)
    assert (export.state, export.attempt) == (State.READY, 3)


def test_it_waits_for_a_worker_that_holds_the_next_step(ada: User) -> None:
    export = export_in("queued", ada)
    Export.objects.filter(pk=export.pk).update(attempt=1, lease_until=timezone.now() + timedelta(hours=1))
    looks: list[int] = []

    def look(now: Export) -> None:
        looks.append(1)
        if len(looks) == 3:
            lapse(export)

    inline.run_inline(export, look)
    assert (export.state, len(looks) > 3) == (State.READY, True)


def test_it_waits_for_a_retry(ada: User) -> None:
    export = ask(ada)
    looks: list[int] = []

    def look(now: Export) -> None:
        looks.append(1)
        if now.state == State.RENDERING and len(looks) == 2:
            lease = Part.objects.claim(now.parts.order_by("index")[0].pk)
            assert lease is not None
            lease.retry(60)
        if len(looks) == 9:
            make_due(*now.parts.all())

    inline.run_inline(export, look)
    assert export.state == State.READY


def test_it_ends_when_the_export_is_cancelled(ada: User) -> None:
    export = ask(ada)
    inline.run_inline(export, lambda now: cancel_export(now) if now.state == State.RENDERING else None)
    assert export.state == State.CANCELLED


def test_it_leaves_no_thread_behind(ada: User) -> None:
    before = threading.active_count()
    run_inline(ask(ada))
    assert threading.active_count() == before
