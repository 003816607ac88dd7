"""Tests of claims and leases: which attempt may write, until when, and that a lost lease writes nothing."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from durable import clock
from durable.clock import Now
from durable.lease import Lease, LeaseLost
from durable.models import Work, backoff
from tests.support.errands import claim, errand, lapse, make_due, seen
from tests.support.threads import at_once
from tests.work.models import Errand

pytestmark = pytest.mark.django_db


@pytest.fixture
def quick(settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"RENEW_EVERY": 0.02}


# --- claim ----------------------------------------------------------------------------------------------------------


def test_claiming_counts_the_attempt_before_the_work() -> None:
    lease = claim(errand())
    assert (lease.attempt, lease.work.attempt) == (1, 1)
    assert lease.work.claimed_at is not None
    assert lease.work.leased_by


def test_a_claim_lasts_as_long_as_the_settings_say(settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"LEASE_SECONDS": 300}
    work = claim(errand()).work
    assert work.lease_until is not None
    assert work.claimed_at is not None
    assert timedelta(seconds=299) < work.lease_until - work.claimed_at < timedelta(seconds=301)


def test_a_claim_can_write_extra_fields() -> None:
    lease = Errand.objects.claim(errand().pk, done_by="me")
    assert lease is not None
    assert lease.work.done_by == "me"


@pytest.mark.parametrize(
    "condition",
    [
        {"next_attempt_at": None},
        {"next_attempt_at": Work.moment_in(60)},
        {"lease_until": Work.moment_in(60)},
        {"attempt": 5},
    ],
    ids=["closed", "waiting", "held", "no attempt left"],
)
def test_rows_that_are_not_due_are_not_claimed(condition: dict[str, Any]) -> None:
    row = errand()
    Errand.objects.filter(pk=row.pk).update(**condition)
    before = seen(row)
    assert Errand.objects.claim(row.pk) is None
    assert seen(row) == before


def test_a_missing_row_is_not_claimed() -> None:
    assert Errand.objects.claim(4_711) is None


def test_an_expired_lease_is_taken_over() -> None:
    first = claim(errand())
    lapse(first.work)
    assert claim(first.work).attempt == 2


@pytest.mark.django_db(transaction=True)
def test_only_one_of_several_concurrent_claims_succeeds() -> None:
    for _ in range(5):
        pk = errand().pk
        leases = at_once(*[lambda pk=pk: Errand.objects.claim(pk)] * 4)
        assert len([lease for lease in leases if lease is not None]) == 1
        assert Errand.objects.get(pk=pk).attempt == 1


# --- the fence ------------------------------------------------------------------------------------------------------

WRITES = {
    "save": lambda lease: lease.save(done_by="zombie"),
    "finish": lambda lease: lease.finish(done_by="zombie"),
    "park": lambda lease: lease.park(done_by="zombie"),
    "retry": lambda lease: lease.retry(1, done_by="zombie"),
    "release": lambda lease: lease.release(done_by="zombie"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_an_older_attempt_writes_nothing(write: Any) -> None:
    zombie = claim(errand())
    lapse(zombie.work)
    claim(zombie.work)
    before = seen(zombie.work)
    with pytest.raises(LeaseLost):
        write(zombie)
    assert seen(zombie.work) == before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("end", ["finish", "retry", "release"])
def test_an_ended_lease_writes_nothing(end: str, write: Any) -> None:
    lease = claim(errand())
    lease.retry(60) if end == "retry" else getattr(lease, end)()
    before = seen(lease.work)
    with pytest.raises(LeaseLost):
        write(lease)
    assert seen(lease.work) == before


def test_deleting_the_row_loses_the_lease() -> None:
    lease = claim(errand())
    Errand.objects.all().delete()
    with pytest.raises(LeaseLost):
        lease.save()


def test_a_lost_lease_is_reported_by_the_next_check() -> None:
    lease = claim(errand())
    lease.check()
    Errand.objects.update(next_attempt_at=None)
    with pytest.raises(LeaseLost):
        lease.save()
    with pytest.raises(LeaseLost):
        lease.check()


def test_an_expired_lease_still_writes_until_another_claim() -> None:
    lease = claim(errand())
    lapse(lease.work)
    lease.finish(done_by="late, but alone")
    assert seen(lease.work)["done_by"] == "late, but alone"


# --- ending an attempt ----------------------------------------------------------------------------------------------


def test_finishing_closes_and_counts_the_seconds() -> None:
    lease = claim(errand(seconds=2.0, longest_seconds=1.0))
    lease._started -= 7
    lease.finish(done_by="me")
    row = seen(lease.work)
    assert (row["next_attempt_at"], row["lease_until"], row["leased_by"], row["done_by"]) == (None, None, "", "me")
    assert row["seconds"] == pytest.approx(9, abs=0.5)
    assert row["longest_seconds"] == pytest.approx(7, abs=0.5)


def test_finishing_can_schedule_another_attempt() -> None:
    lease = claim(errand())
    lease.finish(next_attempt_at=Now())
    assert claim(lease.work).attempt == 2


def test_a_retry_waits_without_a_hint() -> None:
    lease = claim(errand(published_at=timezone.now()))
    lease.retry(90, done_by="later")
    row = seen(lease.work)
    assert timedelta(seconds=85) < row["next_attempt_at"] - clock.now() < timedelta(seconds=95)
    assert (row["published_at"], row["lease_until"]) == (None, None)
    assert Errand.objects.claim(lease.work.pk) is None
    make_due(lease.work)
    assert claim(lease.work).attempt == 2


def test_a_release_does_not_count_the_attempt() -> None:
    row = errand()
    for attempt in range(1, 9):
        lease = claim(row)
        assert (lease.attempt, lease.work.failures, lease.last_attempt) == (attempt, 1, False)
        lease.release()


def test_failures_count_from_the_last_reopening() -> None:
    assert claim(errand(attempt=0, attempt_limit=5)).work.failures == 1
    assert claim(errand(attempt=7, attempt_limit=12)).work.failures == 1
    assert claim(errand(attempt=8, attempt_limit=12)).work.failures == 2


def test_last_attempt_is_true_only_for_the_last_attempt() -> None:
    assert not claim(errand(attempt=3)).last_attempt
    assert claim(errand(attempt=4)).last_attempt


@pytest.mark.parametrize(("failures", "seconds"), [(0, 60), (1, 60), (2, 120), (3, 240), (4, 480)])
def test_backoff_doubles_with_jitter(failures: int, seconds: float) -> None:
    waits = [backoff(failures) for _ in range(200)]
    assert seconds <= min(waits) < seconds * 1.02
    assert seconds * 1.18 < max(waits) <= seconds * 1.2


# --- renewing -------------------------------------------------------------------------------------------------------


def _until(condition: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_a_held_lease_is_renewed_until_it_ends() -> None:
    lease = claim(errand())
    with lease:
        lapse(lease.work)
        _until(lambda: not Errand.objects.due().exists())
        lease.check()
        lease.finish(done_by="me")
    row = seen(lease.work)
    time.sleep(0.1)
    assert seen(lease.work) == row


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_a_holder_notices_a_takeover() -> None:
    lease = claim(errand())
    Errand.objects.update(lease_until=Work.moment_in(-1), attempt=2)
    with lease, pytest.raises(LeaseLost):
        _until(lambda: lease.check())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_renewal_is_retried_after_a_database_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    write = Lease._write

    def broken(self: Lease[Errand], **fields: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("away")
        write(self, **fields)

    lease = claim(errand())
    lapse(lease.work)
    monkeypatch.setattr(Lease, "_write", broken)
    with lease:
        _until(lambda: len(tries) > 3)
        lease.check()
    assert Errand.objects.due().count() == 0


def test_leaving_the_context_ends_the_renewing_thread() -> None:
    lease = claim(errand())
    with lease:
        thread = lease._renewer
        assert thread is not None
        assert thread.is_alive()
    assert not thread.is_alive()


@pytest.mark.django_db
def test_a_new_row_has_the_attempts_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Errand, "max_attempts", 2)
    Errand.objects.bulk_create([Errand()])
    for row in (Errand.objects.get(), Errand.objects.create(), Errand()):
        assert row.attempt_limit == 2
    monkeypatch.setattr(Errand, "max_attempts", 7)
    assert {row.attempt_limit for row in Errand.objects.all()} == {2}
