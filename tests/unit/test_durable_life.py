"""A state machine test of one leased row, under any order of events.

Workers claim, die, write late and give the row back, messages are duplicated, and the owner cancels and reopens it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import booleans

from durable import models
from durable.holders import scope
from durable.lease import Lease, LeaseLost
from tests.support.errands import errand, lapse, make_due
from tests.work.models import Errand

STEPS = 25
DEAD: set[str] = set()
"""Names of the workers that count as ended on this machine."""


def name_of(lease: Lease[Errand]) -> str:
    """Return the name of a process of this machine that is unique to the row and attempt."""
    return f"{scope()}:{lease.work.pk}:{lease.attempt}"


class LeaseLife(RuleBasedStateMachine):
    """One row, any number of workers. The attributes model the expected state of the row."""

    def __init__(self) -> None:
        super().__init__()
        DEAD.clear()
        self.row = errand(attempt_limit=4)
        self.workers: list[Lease[Errand]] = []
        """Workers that have claimed the row and have not died; all but the newest are zombies."""
        self.attempt = 0
        self.finishes = 0
        """Number of finishes since the row was opened."""
        self.closed = False
        self.held = False
        """Whether the newest attempt has a lease; `lapsed` says whether it has expired."""

    @property
    def now(self) -> Errand:
        return Errand.objects.get(pk=self.row.pk)

    # -- events --------------------------------------------------------------------------------------------------

    @rule()
    def a_message_arrives(self) -> None:
        """It may be a duplicate, or late."""
        held = self.now.lease_until is not None
        lease = Errand.objects.claim(self.row.pk)
        if lease is not None:
            assert not self.closed, "a closed row was claimed"
            assert lease.attempt == self.attempt + 1
            assert not held or self.lapsed, "a live lease was taken over"
            Errand.objects.filter(pk=self.row.pk).update(leased_by=name_of(lease))
            self.attempt, self.lapsed, self.held = lease.attempt, False, True
            self.workers.append(lease)

    lapsed = False

    @precondition(lambda self: self.workers)
    @rule()
    def the_holder_dies_or_sleeps(self) -> None:
        lapse(self.now)
        self.lapsed = True

    @precondition(lambda self: self.workers)
    @rule(newest=booleans())
    def a_worker_dies_on_this_machine(self, newest: bool) -> None:
        dead = self.workers.pop(-1 if newest else 0)
        DEAD.add(name_of(dead))
        freed = Errand.objects.all().free_dead()
        assert freed == self.is_newest(dead), "the lease of a live worker ended, or that of a dead one did not"
        self.lapsed = self.lapsed or bool(freed)

    @precondition(lambda self: self.workers)
    @rule(newest=booleans())
    def a_worker_shuts_down(self, newest: bool) -> None:
        """It gives its row back; later writes of its task fail."""
        ending = self.workers[-1 if newest else 0]
        limit = self.now.attempt_limit
        given = Errand.objects.all().give_back([name_of(ending)])
        assert given == self.is_newest(ending)
        assert self.now.attempt_limit == limit + given, "the attempt was counted"
        self.held = self.held and not given

    def is_newest(self, lease: Lease[Errand]) -> bool:
        """Return whether `lease` holds the row and has not expired."""
        return self.held and not self.lapsed and lease.attempt == self.attempt

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
            self.closed, self.held = True, False

    @precondition(lambda self: self.workers)
    @rule(newest=booleans(), released=booleans())
    def a_worker_gives_up(self, newest: bool, released: bool) -> None:
        if self._as(newest, lambda lease: lease.release() if released else lease.retry(1)):
            self.held = False

    @rule()
    def the_sweep_parks(self) -> None:
        row = self.now
        if row.dead_rows().update(next_attempt_at=None, lease_until=None):
            assert row.attempt >= row.attempt_limit
            assert row.lease_until is None or self.lapsed, "a live holder was parked"
            self.closed, self.held = True, False

    @rule()
    def the_owner_cancels(self) -> None:
        Errand.objects.filter(pk=self.row.pk).update(next_attempt_at=None, lease_until=None)
        self.closed, self.held = True, False

    @rule()
    def the_owner_reopens_it(self) -> None:
        opened = Errand.objects.filter(pk=self.row.pk).reopen(4)
        assert opened == self.closed, "an open row was reopened, or a closed one was not"
        if opened:
            assert Errand.objects.due().filter(pk=self.row.pk).exists()
            self.attempt += 1  # the fence
            self.finishes, self.closed = 0, False

    def _as(self, newest: bool, act: Any) -> bool:
        """Let one of the workers act. Return whether it could; only the newest holder of an open row can."""
        lease = self.workers[-1] if newest else self.workers[0]
        try:
            act(lease)
        except LeaseLost:
            return False
        assert not self.closed, "a closed row was written"
        assert lease.attempt == self.attempt, "an older attempt wrote"
        assert self.held, "an ended lease wrote"
        self.lapsed = False
        return True

    # -- invariants ----------------------------------------------------------------------------------------------

    @invariant()
    def the_attempt_never_decreases(self) -> None:
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


@pytest.mark.slow
@pytest.mark.django_db
def test_the_life_of_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "is_dead", DEAD.__contains__)
    run_state_machine_as_test(LeaseLife, settings=settings(max_examples=40, stateful_step_count=STEPS))
