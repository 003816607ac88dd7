"""A state machine test of one export with several parts, under any order of events.

Workers die, sleep and wake up, messages are duplicated, sweeps run, and the owner cancels and retries. `make test`
tries a few lives; `LIVES=2000 .venv/bin/python -m pytest tests/unit/test_fan_in_life.py` tries many.
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
from durable.clock import Now
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
"""Events in one life."""
MESSAGES_BEFORE_CANCEL = 6
"""Number of messages before the owner may cancel, so that there is something to cancel."""
PART, WINDOW, ATTEMPTS = 10, 2, 3
ROUNDS = 2 * ATTEMPTS + 4
"""Maximum number of sweeps after the last fault until every export has ended."""
LONG = 10_000
"""Seconds of a lease, and until a message counts as lost. Longer than any life takes, on any machine."""
DEAD: set[str] = set()
"""Names of the workers that count as ended on this machine."""
OVERFULL: list[int] = []
"""Number of parts in flight, each time that the window was overfilled."""


def later(state: State) -> set[State]:
    """Return the states that an export can reach from `state` without a retry."""
    found = {state}
    while more := {to for one in found if one in OPEN or one == State.READY for to in MOVES[one]} - found:
        found |= more
    return found


def row_of(worker: Worker) -> Work | None:
    """Return the row that the worker has claimed, from the database."""
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
        """Workers that have paused in the middle of their work."""
        self.truncated: set[str] = set()
        """Keys of files that no longer have their original content."""
        self.started = self.failures = 0
        self.state = State.QUEUED

    @initialize(rows=integers(0, 4 * PART))
    def the_owner_requests_it(self, rows: int) -> None:
        self.rows = rows
        errands(rows)
        self.export = request_export(self.owner, ExportRequest(dataset="errands", format="csv", period="all")).export

    def current(self) -> Export:
        return Export.objects.get(pk=self.export.pk)

    def rows_now(self) -> list[Work]:
        return [self.current(), *self.export.parts.all()]

    # -- events --------------------------------------------------------------------------------------------------

    @rule(drawn=data())
    def a_message_arrives(self, drawn: DataObject) -> None:
        """Any message that was ever sent: for the first time, late, or again."""
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
    def a_worker_continues(self, drawn: DataObject) -> None:
        self.move(self.draw_worker(drawn))

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_worker_finishes(self, drawn: DataObject) -> None:
        worker = self.draw_worker(drawn)
        while not worker.ended:
            self.move(worker)

    @precondition(lambda self: self.workers)
    @rule(drawn=data(), known=booleans())
    def a_worker_dies(self, drawn: DataObject, known: bool) -> None:
        """With `known` it dies on this machine; otherwise only its expired lease shows it."""
        worker = self.draw_worker(drawn)
        self.move(worker, Killed)
        if known:
            DEAD.add(worker.name)

    @precondition(lambda self: any(worker.moment == "stored" for worker in self.workers))
    @rule(drawn=data())
    def a_disk_is_full(self, drawn: DataObject) -> None:
        writing = [worker for worker in self.workers if worker.moment == "stored"]
        self.move(writing[drawn.draw(integers(0, len(writing) - 1), "worker")], OSError)

    @rule(drawn=data())
    def a_file_of_a_part_is_truncated(self, drawn: DataObject) -> None:
        whole = sorted(
            set(self.export.parts.filter(state=PartState.DONE).values_list("artifact", flat=True)) - self.truncated
        )
        if whole:
            key = whole[drawn.draw(integers(0, len(whole) - 1), "file")]
            Path(artifacts.storage().path(key)).write_bytes(b"")
            self.truncated.add(key)

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_worker_shuts_down(self, drawn: DataObject) -> None:
        """It gives its row back while its task still runs for a moment."""
        worker = self.draw_worker(drawn)
        sweep.give_back([worker.name])
        self.move(worker)

    @precondition(lambda self: self.workers)
    @rule(drawn=data())
    def a_worker_sleeps_and_another_takes_over(self, drawn: DataObject) -> None:
        """The lease has expired, and the message has been sent again."""
        sleeper = self.draw_worker(drawn)
        if (row := row_of(sleeper)) is not None:
            lapse(row, seconds=2 * LONG)
            self.begin(sleeper.task, sleeper.pk)

    @rule()
    def every_lease_expires(self) -> None:
        lapse(*self.rows_now(), seconds=2 * LONG)

    @precondition(lambda self: self.started > MESSAGES_BEFORE_CANCEL)
    @rule(drawn=data())
    def a_row_is_exhausted(self, drawn: DataObject) -> None:
        """Its last attempt has died, and the sweep parks it."""
        rows = self.rows_now()
        row = rows[drawn.draw(integers(0, len(rows) - 1), "row")]
        still_open = type(row)._default_manager.filter(pk=row.pk, next_attempt_at__lte=Now())
        if still_open.update(attempt=F("attempt_limit"), lease_until=None):
            sweep.sweep()
            assert self.current().state == State.FAILED

    @rule()
    def every_wait_ends(self) -> None:
        make_due(*self.rows_now())

    @rule()
    def the_sweep_runs(self) -> None:
        sweep.sweep()

    @precondition(lambda self: self.started > MESSAGES_BEFORE_CANCEL)
    @rule()
    def the_owner_cancels(self) -> None:
        assert self.allowed(cancel_export) == (self.state in OPEN)

    @rule()
    def the_owner_retries(self) -> None:
        if self.allowed(retry_export):
            assert self.state in (State.FAILED, State.CANCELLED)
            self.state = State.QUEUED

    def allowed(self, action: Callable[[Export], None]) -> bool:
        try:
            action(self.current())
        except WrongState:
            return False
        return True

    def draw_worker(self, drawn: DataObject) -> Worker:
        return self.workers[drawn.draw(integers(0, len(self.workers) - 1), "worker")]

    def move(self, worker: Worker, error: type[BaseException] | None = None) -> None:
        """Run the worker to its next moment. If its row is lost or closed, the worker must not change it."""
        before = row_of(worker) if worker.moment in ("claimed", "stored") else None
        worker.resume(error)
        if worker.ended:
            self.workers.remove(worker)
        if before is not None and worker.lease is not None and lost(worker, before):
            assert facts(row_of(worker)) == facts(before), f"{worker!r} wrote to a row that it had lost"

    # -- invariants ----------------------------------------------------------------------------------------------

    @invariant()
    def it_moves_as_the_transition_table_allows(self) -> None:
        state = State(self.current().state)
        assert state in later(self.state), f"{self.state} became {state}"
        self.failures += state == State.FAILED and self.state != State.FAILED
        self.state = state

    @invariant()
    def its_owner_is_notified_once(self) -> None:
        notified = Counter(Notification.objects.values_list("kind", flat=True))
        assert notified["export_ready"] == (self.state == State.READY)
        assert notified["export_failed"] == self.failures

    @invariant()
    def it_is_joined_from_all_its_parts(self) -> None:
        parts = Counter(self.export.parts.values_list("state", flat=True))
        if self.state == State.ASSEMBLING:
            assert set(parts) == {PartState.DONE}
        if self.state == State.READY:
            assert set(parts) == {PartState.JOINED}
        assert self.state == State.READY or PartState.JOINED not in parts
        assert self.state in OPEN or not self.export.parts.open().exists(), "a closed export has open parts"

    @invariant()
    def referenced_files_exist(self) -> None:
        for row in self.rows_now():
            if (key := getattr(row, "artifact", "")) and key not in self.truncated:
                with artifacts.open_artifact(key) as file:
                    assert artifacts.digest(file) == (row.size, row.sha256)  # type: ignore[attr-defined]
        if self.state == State.READY:
            export = self.current()
            assert (export.rows, len(content_of(export).splitlines())) == (self.rows, 1 + self.rows)

    @invariant()
    def the_window_is_not_overfilled(self) -> None:
        assert OVERFULL == []

    @invariant()
    def attempts_stay_within_the_limit(self) -> None:
        assert all(row.attempt <= row.attempt_limit for row in self.rows_now())

    # -- the end -------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "export"):
                self.after_the_last_fault()
        finally:
            for worker in self.workers:
                worker.resume(Killed)
            for model in (Export, Notification, Errand):
                model._default_manager.all().delete()
            artifacts.delete(list(files()))

    def after_the_last_fault(self) -> None:
        """Live workers finish, the leases of the others expire, and the export ends within ROUNDS sweeps."""
        while self.workers:
            self.move(self.workers[0])
        for _ in range(ROUNDS):
            rows = self.rows_now()
            lapse(*rows, seconds=2 * LONG)
            make_due(*rows)
            hints.sent.clear()
            sweep.sweep()
            self.work()
            self.it_moves_as_the_transition_table_allows()
        assert self.state not in OPEN, "the export does not end"
        self.its_owner_is_notified_once()
        self.referenced_files_exist()
        purge.remove_orphans()
        assert self.state != State.READY or files() == {self.current().artifact}

    def work(self) -> None:
        """Run the tasks of all messages until no message is left."""
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


def record_overfull(fill: Callable[[], int]) -> int:
    """Record it if `fill` overfills the window. Parts whose messages come late may run in addition to the window."""
    before = Part.objects.in_flight().count()
    chosen = fill()
    if (after := Part.objects.in_flight().count()) > max(before, WINDOW):
        OVERFULL.append(after)
    return chosen


@pytest.fixture
def _site(artifact_dir: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = {"ROWS_PER_PART": PART, "WINDOW": WINDOW, "MAX_ATTEMPTS": ATTEMPTS, "ORPHAN_AGE": timedelta(0)}
    settings.CARRYALL = settings.CARRYALL | own | {"MAX_PER_HOUR": 1_000_000}
    settings.CARRYALL = settings.CARRYALL | {"RENEW_EVERY": LONG, "LEASE_SECONDS": LONG, "REPUBLISH_AFTER": LONG}
    PeriodicTask.objects.update(enabled=False)
    monkeypatch.setattr(window, "fill_window", partial(record_overfull, window.fill_window))
    with registered(Errands), slow_motion(monkeypatch, DEAD):
        yield


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_site")
def test_the_life_of_an_export(ada: User) -> None:
    run_state_machine_as_test(FanInLife, settings=hypothesis_settings(max_examples=LIVES, stateful_step_count=MOMENTS))
