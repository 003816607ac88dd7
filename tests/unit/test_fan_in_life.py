"""The life of one export of some parts, under any order of workers that die, sleep and wake up, of doubled messages,
sweeps, cancelling and trying again.

`make test` tries a few lives; `LIVES=2000 .venv/bin/python -m pytest tests/unit/test_fan_in_life.py` tries many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject, booleans, data, integers
from pytest_django import Settings

from durable import sweep
from durable.models import Work
from exports.errors import WrongState
from exports.intake.choices import ExportRequest
from exports.intake.requests import cancel_export, request_export, retry_export
from exports.models import Export, Part
from exports.pipeline import window
from exports.states import MOVES, OPEN, PartState, State
from exports.storage import artifacts
from exports.upkeep import purge
from notifications.models import Notification
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import STEPS, Errands, content_of, errands, files, registered
from tests.support.kills import Killed
from tests.support.stepping import Worker, slow_motion
from tests.work.models import Errand

LIVES = int(os.environ.get("LIVES", "12"))
MOMENTS = 40
"""Things that happen in one life."""
CALM = 6
"""Messages until the owner may cancel, so that there is something to cancel."""
PART, WINDOW, ATTEMPTS = 10, 2, 3
ROUNDS = 2 * ATTEMPTS + 4
"""Sweeps after the last fault within which every export must end."""
LONG = 10_000
"""Seconds of a lease, and until a message counts as lost. No life takes so long, on any machine."""
DEAD: set[str] = set()
"""Names of the workers that this machine knows to have ended."""
OVERFULL: list[int] = []
"""How many parts were in flight when somebody chose more than the window takes."""


def later(state: State) -> set[State]:
    """Where an export may be, some time after `state`, if its owner does not try again."""
    found = {state}
    while more := {to for one in found if one in OPEN or one == State.READY for to in MOVES[one]} - found:
        found |= more
    return found


def row_of(worker: Worker) -> Work | None:
    """The row that the worker has claimed, as it is now."""
    return None if worker.lease is None else type(worker.lease.work)._default_manager.filter(pk=worker.pk).first()


class FanInLife(RuleBasedStateMachine):
    """One export, any number of workers."""

    def __init__(self) -> None:
        super().__init__()
        DEAD.clear()
        OVERFULL.clear()
        hints.sent.clear()
        self.owner = User.objects.get(username="ada")
        self.workers: list[Worker] = []
        """Those that stand still in the middle of something: at work, or asleep."""
        self.cut: set[str] = set()
        """Keys of files that are not what was written any more."""
        self.started = self.failures = 0
        self.state = State.QUEUED

    @initialize(rows=integers(0, 4 * PART))
    def the_owner_asks(self, rows: int) -> None:
        self.rows = rows
        errands(rows)
        self.export = request_export(self.owner, ExportRequest(dataset="errands", format="csv", period="all")).export

    def look(self) -> Export:
        return Export.objects.get(pk=self.export.pk)

    def undone(self) -> list[Work]:
        return [self.look(), *self.export.parts.all()]

    # -- what can happen -----------------------------------------------------------------------------------------

    @rule(drawn=data())
    def a_message_comes(self, drawn: DataObject) -> None:
        """Any that was ever sent: for the first time, late, or once more."""
        messages = sorted({(task, pk) for task, pks in hints.sent for pk in pks if task in STEPS})
        place = drawn.draw(integers(0, len(messages) - 1), "message")
        self.begin(*messages[-1 - place])

    def begin(self, task: str, pk: int) -> Worker:
        self.started += 1
        worker = Worker(self.started, task, pk)
        worker.start()
        self.workers += [] if worker.ended else [worker]
        return worker

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_worker_goes_on(self, drawn: DataObject) -> None:
        self.move(self.one(drawn))

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_worker_ends_its_work(self, drawn: DataObject) -> None:
        worker = self.one(drawn)
        while not worker.ended:
            self.move(worker)

    @precondition(lambda self: self.workers)
    @rule(drawn=data(), known=booleans())
    def a_worker_dies(self, drawn: DataObject, known: bool) -> None:
        """`known`: on this machine; else only its lease tells."""
        worker = self.one(drawn)
        self.move(worker, Killed)
        if known:
            DEAD.add(worker.name)

    @precondition(lambda self: any(worker.moment == "stored" for worker in self.workers))
    @rule(drawn=data())
    def a_disk_is_full(self, drawn: DataObject) -> None:
        writing = [worker for worker in self.workers if worker.moment == "stored"]
        self.move(writing[drawn.draw(integers(0, len(writing) - 1), "worker")], OSError)

    @rule(drawn=data())
    def a_file_of_a_part_is_cut(self, drawn: DataObject) -> None:
        whole = sorted(
            set(self.export.parts.filter(state=PartState.DONE).values_list("artifact", flat=True)) - self.cut
        )
        if whole:
            key = whole[drawn.draw(integers(0, len(whole) - 1), "file")]
            Path(artifacts.storage().path(key)).write_bytes(b"")
            self.cut.add(key)

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_program_ends(self, drawn: DataObject) -> None:
        """It gives back what its worker holds, who goes on for a moment."""
        worker = self.one(drawn)
        sweep.give_back([worker.name])
        self.move(worker)

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_worker_sleeps_and_another_takes_over(self, drawn: DataObject) -> None:
        """The lease has run out, and the message has been sent again."""
        sleeper = self.one(drawn)
        if (row := row_of(sleeper)) is not None:
            lapse(row, seconds=2 * LONG)
            self.begin(sleeper.task, sleeper.pk)

    @rule()
    def every_lease_runs_out(self) -> None:
        lapse(*self.undone(), seconds=2 * LONG)

    @precondition(lambda self: self.started > CALM)
    @rule(drawn=data())
    def a_row_has_killed_everybody(self, drawn: DataObject) -> None:
        """Its last attempt has died too; the sweep finds it."""
        rows = self.undone()
        row = rows[drawn.draw(integers(0, len(rows) - 1), "row")]
        still_open = type(row)._default_manager.filter(pk=row.pk, next_attempt_at__lte=Now())
        if still_open.update(attempt=F("attempt_limit"), lease_until=None):
            sweep.sweep()
            assert self.look().state == State.FAILED

    @rule()
    def every_wait_is_over(self) -> None:
        make_due(*self.undone())

    @rule()
    def the_sweep_comes(self) -> None:
        sweep.sweep()

    @precondition(lambda self: self.started > CALM)
    @rule()
    def the_owner_cancels(self) -> None:
        assert self.allowed(cancel_export) == (self.state in OPEN)

    @rule()
    def the_owner_tries_again(self) -> None:
        if self.allowed(retry_export):
            assert self.state in (State.FAILED, State.CANCELLED)
            self.state = State.QUEUED

    def allowed(self, action: Callable[[Export], None]) -> bool:
        try:
            action(self.look())
        except WrongState:
            return False
        return True

    def one(self, drawn: DataObject) -> Worker:
        return self.workers[drawn.draw(integers(0, len(self.workers) - 1), "worker")]

    def move(self, worker: Worker, order: type[BaseException] | None = None) -> None:
        """To its next moment. Who has lost its row, or whose row is closed, changes nothing in it by its own work."""
        before = row_of(worker) if worker.moment in ("claimed", "stored") else None
        worker.go_on(order)
        if worker.ended:
            self.workers.remove(worker)
        if before is not None and worker.lease is not None and lost(worker, before):
            assert facts(row_of(worker)) == facts(before), f"{worker!r} wrote to a row that it had lost"

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def it_moves_along_the_table(self) -> None:
        state = State(self.look().state)
        assert state in later(self.state), f"{self.state} became {state}"
        self.failures += state == State.FAILED and self.state != State.FAILED
        self.state = state

    @invariant()
    def its_owner_is_told_once(self) -> None:
        told = Counter(Notification.objects.values_list("kind", flat=True))
        assert told["export_ready"] == (self.state == State.READY)
        assert told["export_failed"] == self.failures

    @invariant()
    def it_is_joined_of_all_its_parts(self) -> None:
        parts = Counter(self.export.parts.values_list("state", flat=True))
        if self.state == State.ASSEMBLING:
            assert set(parts) == {PartState.DONE}
        if self.state == State.READY:
            assert set(parts) == {PartState.JOINED}
        assert self.state == State.READY or PartState.JOINED not in parts
        assert self.state in OPEN or not self.export.parts.open().exists(), "nobody waits for its parts"

    @invariant()
    def what_is_pointed_to_is_there(self) -> None:
        for row in self.undone():
            if (key := getattr(row, "artifact", "")) and key not in self.cut:
                with artifacts.open_artifact(key) as file:
                    assert artifacts.digest(file) == (row.size, row.sha256)  # type: ignore[attr-defined]
        if self.state == State.READY:
            export = self.look()
            assert (export.rows, len(content_of(export).splitlines())) == (self.rows, 1 + self.rows)

    @invariant()
    def the_window_is_kept(self) -> None:
        assert OVERFULL == []

    @invariant()
    def attempts_stay_within_the_limit(self) -> None:
        assert all(row.attempt <= row.attempt_limit for row in self.undone())

    # -- and in the end ------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "export"):
                self.after_the_last_fault()
        finally:
            for worker in self.workers:
                worker.go_on(Killed)
            for model in (Export, Notification, Errand):
                model._default_manager.all().delete()
            artifacts.delete(list(files()))

    def after_the_last_fault(self) -> None:
        """Those who still live do their work, the leases of the others run out, and some sweeps later it has ended."""
        while self.workers:
            self.move(self.workers[0])
        for _ in range(ROUNDS):
            rows = self.undone()
            lapse(*rows, seconds=2 * LONG)
            make_due(*rows)
            hints.sent.clear()
            sweep.sweep()
            self.work()
            self.it_moves_along_the_table()
        assert self.state not in OPEN, "it has no end"
        self.its_owner_is_told_once()
        self.what_is_pointed_to_is_there()
        purge.remove_orphans()
        assert self.state != State.READY or files() == {self.look().artifact}

    def work(self) -> None:
        """Until no message is left."""
        done = 0
        while done < len(hints.sent):
            task, pks = hints.sent[done]
            done += 1
            for pk in pks if task in STEPS else ():
                worker = self.begin(task, pk)
                while not worker.ended:
                    self.move(worker)


def lost(worker: Worker, row: Work) -> bool:
    assert worker.lease is not None
    return row.next_attempt_at is None or row.lease_until is None or row.attempt != worker.lease.attempt


def facts(row: Work | None) -> dict[str, Any]:
    assert row is not None
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def keep_to_the_window(fill: Callable[[], int]) -> int:
    """Choosing fills the window and no more; parts whose messages come late may be at work beside it."""
    before = Part.objects.in_flight().count()
    chosen = fill()
    if (after := Part.objects.in_flight().count()) > max(before, WINDOW):
        OVERFULL.append(after)
    return chosen


@pytest.fixture
def _site(artifacts: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {"ROWS_PER_PART": PART, "WINDOW": WINDOW, "MAX_ATTEMPTS": ATTEMPTS, "ORPHAN_AGE": timedelta(0)}
    settings.EXPORTS = settings.EXPORTS | own | {"MAX_PER_HOUR": 1_000_000}
    settings.DURABLE = settings.DURABLE | {"RENEW_EVERY": LONG, "LEASE_SECONDS": LONG, "REPUBLISH_AFTER": LONG}
    PeriodicTask.objects.update(enabled=False)
    monkeypatch.setattr(window, "fill_window", partial(keep_to_the_window, window.fill_window))
    with registered(Errands), slow_motion(monkeypatch, DEAD):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_site")
def test_the_life_of_an_export(ada: User) -> None:
    run_state_machine_as_test(FanInLife, settings=hypothesis_settings(max_examples=LIVES, stateful_step_count=MOMENTS))
