"""Tests of the estimates of rows, size and time before a request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import QuerySet
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exports.datasets import datasets
from exports.datasets import estimate as estimating
from exports.datasets.estimate import Certainty, Rows, estimate
from exports.errors import BadRequest, DatasetFailed, NoPermission
from exports.forecast.estimates import STARTING, Estimate, estimate_request
from exports.intake.choices import ExportRequest
from exports.models import Export
from exports.pipeline.rates import bundle_rate, rate_of
from exports.states import PartState, State
from tests.support.exports import Errands, errands, export_in, part_in, registered
from tests.support.shop import orders
from tests.work.models import Errand

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _errands() -> Iterator[None]:
    with registered(Errands):
        yield


class Broken(Errands):
    key = "broken"

    def estimate(self, *args: Any) -> Rows:
        raise ZeroDivisionError


class Closed(Errands):
    key = "closed"

    def permitted(self, user: Any) -> bool:
        return False


class FaultyPermission(Errands):
    key = "doubtful"

    def permitted(self, user: Any) -> bool:
        raise ZeroDivisionError


class Slow(Errands):
    key = "slow"

    def estimate(self, *args: Any) -> Rows:
        raise OperationalError("canceling statement due to statement timeout")


class Huge(Errands):
    """A dataset with its own estimate."""

    key = "huge"

    def estimate(self, *args: Any) -> Rows:
        return Rows(1_000_000, Certainty.ABOUT)


def estimated(user: User, dataset: str | list[str] = "errands", **more: Any) -> Estimate:
    keys = [dataset] if isinstance(dataset, str) else dataset
    return estimate_request(user, ExportRequest(**({"dataset": keys, "format": "csv", "period": "all"} | more)))


def finished(owner: User, **facts: Any) -> Export:
    """Create a measured export: 10,000 rows in 2 parts of 2 s, 1 s of joining, 1 MB."""
    known: dict[str, Any] = {"rows": 10_000, "size": 1_000_000, "seconds": 1.0, "started_at": timezone.now()}
    export = export_in(State.READY, owner, **known | facts)
    export.refresh_from_db()
    for index in range(2):
        part_in(PartState.JOINED, export, index, rows=5_000, rows_done=5_000, seconds=2.0)
    return export


# --- rows -----------------------------------------------------------------------------------------------------------


def test_few_rows_are_counted(ada: User) -> None:
    errands(7)
    assert estimated(ada).rows == Rows(7)


def test_only_rows_of_the_owner_and_period_are_counted(ada: User, bob: User) -> None:
    orders(ada, 5)
    orders(bob, 9)
    day = date(2026, 1, 15)
    later = {"period": "custom", "date_from": day + timedelta(days=1), "date_to": day + timedelta(days=2)}
    assert estimated(ada, "orders").rows == Rows(5)
    assert estimated(ada, "orders", **later).rows == Rows(0)


def clusters() -> QuerySet[Errand]:
    """Create 3,000 rows in three runs of keys with gaps between them, and return the queryset of the middle run."""
    keys = [*range(1_000), *range(5_000, 6_000), *range(9_000, 10_000)]
    rows = [Errand(pk=1 + key, done_by=str(key // 5_000), next_attempt_at=None) for key in keys]
    Errand.objects.bulk_create(rows)
    return Errand.objects.filter(pk__range=(5_001, 6_000))


def test_many_rows_are_estimated_from_a_sample_of_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "COUNTED", 300)
    found = estimate(clusters())
    assert found.certainty is Certainty.ABOUT
    assert found.number == pytest.approx(1_000, rel=0.1)
    assert estimate(Errand.objects.all()).number == pytest.approx(3_000, rel=0.1)


def test_a_sample_with_too_few_matches_gives_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "COUNTED", 300)
    monkeypatch.setattr(estimating, "POINTS", 50)
    monkeypatch.setattr(estimating, "by_planner", lambda rows: None)
    assert estimate(clusters()) == Rows(300, Certainty.MORE)


def test_a_sum_is_as_certain_as_its_least_certain_number() -> None:
    assert Rows(2) + Rows(3, Certainty.ABOUT) == Rows(5, Certainty.ABOUT)
    assert Rows(2, Certainty.MORE) + Rows(3, Certainty.ABOUT) == Rows(5, Certainty.MORE)


# --- rates ----------------------------------------------------------------------------------------------------------


def test_without_measurements_the_default_rate_is_used(ada: User) -> None:
    with registered(Huge):
        found = estimated(ada, "huge")
    assert (found.measured, found.rows) == (False, Rows(1_000_000, Certainty.ABOUT))
    assert found.seconds is not None
    assert found.seconds > STARTING


def test_the_rate_of_finished_exports_is_used(ada: User) -> None:
    finished(ada, dataset="huge")
    with registered(Huge):
        found = estimated(ada, "huge")
        rate = rate_of("huge", "csv")
    assert (rate.seconds_per_row, rate.joining_per_row, rate.bytes_per_row) == pytest.approx((4e-4, 1e-4, 100))
    assert (found.measured, found.size) == (True, 100_000_000)
    assert found.seconds == pytest.approx(STARTING + 400 / rate.lanes + 100)


def test_fewer_columns_take_less(ada: User) -> None:
    finished(ada, dataset="huge")
    with registered(Huge):
        assert estimated(ada, "huge", fields=["id"]).size == 50_000_000
        assert rate_of("huge", "csv", 1).seconds_per_row == pytest.approx(2e-4)


def test_a_bundle_is_the_sum_of_its_files_until_bundles_are_measured(ada: User) -> None:
    bundle: dict[str, Any] = {"dataset": ["huge"], "format": "zip", "inside": ["csv", "jsonl"]}
    with registered(Huge):
        guessed = estimated(ada, **bundle)
        finished(ada, dataset="huge", format="zip", inside=["csv", "jsonl"], rows=10_000, size=200_000)
        measured = estimated(ada, **bundle)
    assert guessed.size == sum(rate_of("huge", kind, 2).bytes_per_row * 1_000_000 for kind in ("csv", "jsonl"))
    assert measured.size == 20 * 2_000_000
    assert bundle_rate("errands", "zip") is None


def test_a_rate_takes_one_query(ada: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(7):
        finished(ada)
    with django_assert_num_queries(1):
        rate_of("errands", "csv")


def test_other_exports_delay_the_start(ada: User, bob: User) -> None:
    with registered(Huge):
        alone = estimated(ada, "huge")
        others = export_in(State.RENDERING, bob, rows=10, started_at=timezone.now())
        for index in range(8):
            part_in(PartState.WAITING, others, index, published_at=timezone.now(), next_attempt_at=timezone.now())
        busy = estimated(ada, "huge")
    assert alone.seconds is not None
    assert busy.seconds is not None
    assert (alone.starts_in, alone.ahead, busy.ahead) == (0, 0, 1)
    assert busy.starts_in > 2
    assert busy.seconds == pytest.approx(alone.seconds + busy.starts_in)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_invalid_requests_are_refused(ada: User) -> None:
    with pytest.raises(BadRequest, match="There is no dataset"):
        estimated(ada, "nonsense")
    with registered(Closed), pytest.raises(NoPermission):
        estimated(ada, "closed")
    with registered(FaultyPermission), pytest.raises(DatasetFailed):
        estimated(ada, "doubtful")


@pytest.mark.parametrize("kind", [Broken, Slow])
def test_a_dataset_that_cannot_estimate_gives_an_empty_estimate(
    ada: User, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exports.forecast.estimates.by_planner", lambda rows: None)
    with registered(kind):
        assert estimated(ada, kind.key) == Estimate()


def test_every_dataset_of_the_site_has_an_estimate(ada: User) -> None:
    for dataset in (each for each in datasets if each.personal):
        assert estimated(ada, dataset.key).rows is not None
