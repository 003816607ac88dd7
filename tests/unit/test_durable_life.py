"""The life of one leased row under any order of claims, deaths, late writers, doubled messages and cancelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import booleans

from durable.lease import Lease, LeaseLost
from tests.support.errands import errand, lapse, make_due
from tests.work.models import Errand

STEPS = 25


class LeaseLife(RuleBasedStateMachine):
    """One row, any number of workers. A model of what must hold runs beside the database."""

    def __init__(self) -> None:
        super().__init__()
        self.row = errand(attempt_limit=4)
        self.workers: list[Lease[Errand]] = []
        """Everyone who ever claimed it and has not ended; all but the newest are zombies."""
        self.attempt = 0
        self.finishes = 0
        self.closed = False

    @property
    def now(self) -> Errand:
        return Errand.objects.get(pk=self.row.pk)

    # -- what can happen -----------------------------------------------------------------------------------------

    @rule()
    def a_message_comes(self) -> None:
        """Perhaps for the second time, perhaps late."""
        held = self.now.lease_until is not None
        lease = Errand.objects.claim(self.row.pk)
        if lease is not None:
            assert not self.closed, "a closed row was claimed"
            assert lease.attempt == self.attempt + 1
            assert not held or self.lapsed, "a live lease was taken over"
            self.attempt, self.lapsed = lease.attempt, False
            self.workers.append(lease)

    lapsed = False

    @precondition(lambda self: self.workers)
    @rule()
    def the_holder_dies_or_sleeps(self) -> None:
        lapse(self.now)
        self.lapsed = True

    @precondition(lambda self: self.workers)
    @rule()
    def the_wait_is_over(self) -> None:
        make_due(self.now)

    @precondition(lambda self: self.workers)
    @rule(write=booleans(), newest=booleans())
    def a_worker_writes(self, write: bool, newest: bool) -> None:
        self._as(newest, lambda lease: lease.save(done_by=str(lease.attempt)) if write else lease.save())

    @precondition(lambda self: self.workers)
    @rule(newest=booleans())
    def a_worker_finishes(self, newest: bool) -> None:
        if self._as(newest, lambda lease: lease.finish(done_by=str(lease.attempt))):
            self.finishes += 1
            self.closed = True

    @precondition(lambda self: self.workers)
    @rule(newest=booleans(), released=booleans())
    def a_worker_gives_up(self, newest: bool, released: bool) -> None:
        self._as(newest, lambda lease: lease.release() if released else lease.retry(1))

    @rule()
    def the_sweep_parks(self) -> None:
        row = self.now
        if row.dead_rows().update(next_attempt_at=None, lease_until=None):
            assert row.attempt >= row.attempt_limit
            assert row.lease_until is None or self.lapsed, "a live holder was parked"
            self.closed = True

    @rule()
    def the_owner_cancels(self) -> None:
        Errand.objects.filter(pk=self.row.pk).update(next_attempt_at=None, lease_until=None)
        self.closed = True

    def _as(self, newest: bool, act: Any) -> bool:
        """One of the workers acts. True when it was allowed to; only the newest claimer of an open row may be."""
        lease = self.workers[-1] if newest else self.workers[0]
        try:
            act(lease)
        except LeaseLost:
            return False
        assert not self.closed, "a closed row was written"
        assert lease.attempt == self.attempt, "an older attempt wrote"
        self.lapsed = False
        return True

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def the_attempt_never_falls(self) -> None:
        assert self.now.attempt == self.attempt

    @invariant()
    def one_finish_counts(self) -> None:
        assert self.finishes <= 1

    @invariant()
    def closed_stays_closed(self) -> None:
        assert (self.now.next_attempt_at is None) == self.closed

    @invariant()
    def attempts_stay_within_the_limit(self) -> None:
        row = self.now
        assert row.attempt <= row.attempt_limit


@pytest.mark.django_db
def test_the_life_of_a_lease() -> None:
    run_state_machine_as_test(LeaseLife, settings=settings(max_examples=40, stateful_step_count=STEPS))
