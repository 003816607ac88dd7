"""Contract tests that every registered dataset must pass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import DateTimeField, QuerySet

from exports.datasets import Column, ColumnType, Dataset, Selection, datasets, flat
from exports.errors import UnknownField
from exports.models.period import Period
from tests.contracts.owners import ROWS, Two

pytestmark = pytest.mark.django_db

ALL = Period()
TYPES: dict[ColumnType, Any] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.DECIMAL: Decimal,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date,
    ColumnType.DATETIME: datetime,
    ColumnType.FLOAT: float,
    ColumnType.TIME: time,
    ColumnType.DURATION: timedelta,
}


def _registered() -> list[str]:
    """Return the keys of the apps' own datasets, without the temporary ones of test modules."""
    return [each.key for each in datasets if type(each).__module__.endswith(".datasets")]


@pytest.fixture(params=_registered())
def dataset(request: pytest.FixtureRequest) -> Dataset:
    return datasets.get(request.param)


@pytest.fixture
def two(dataset: Dataset) -> Two:
    assert dataset.key in ROWS, f"Add rows of two users for {dataset.key!r} to tests/contracts/owners.py."
    return ROWS[dataset.key]()


def rows_of(dataset: Dataset, user: User, period: Period = ALL, rows_per_part: int | None = None) -> list[Any]:
    """Return every row of the period, part by part."""
    columns = dataset.choose([])
    ranges = dataset.key_ranges(Selection(user, period), rows_per_part)
    return [row for keys in ranges for row in dataset.source(Selection(user, period), columns, keys)]


def keys_of(dataset: Dataset, user: User) -> list[Any]:
    return list(dataset.selected(Selection(user, ALL)).values_list("pk", flat=True))


def test_users_see_only_their_own_rows(dataset: Dataset, two: Two) -> None:
    one, other = (keys_of(dataset, user) for user in two)
    assert one
    assert other
    assert not set(one) & set(other)
    assert len(rows_of(dataset, two[0])) == len(one)
    assert len(rows_of(dataset, two[1])) == len(other)


def test_another_users_key_range_returns_only_own_rows(dataset: Dataset, two: Two) -> None:
    one, other = two
    [theirs] = dataset.key_ranges(Selection(other, ALL), None)
    mine = [key for key in keys_of(dataset, one) if theirs.first <= key <= theirs.last]
    assert len(list(dataset.source(Selection(one, ALL), dataset.choose([]), theirs))) == len(mine)


def test_a_user_without_rows_exports_no_rows(dataset: Dataset, two: Two) -> None:
    stranger = User.objects.create_user("stranger@example.com")
    assert dataset.key_ranges(Selection(stranger, ALL), 10) == []
    assert not list(dataset.source(Selection(stranger, ALL), dataset.choose([]), None))


def test_values_have_their_columns_types(dataset: Dataset, two: Two) -> None:
    slots = flat(dataset.choose([]))
    for row in rows_of(dataset, two[0]):
        assert len(row) == len(slots)
        for slot, value in zip(slots, row, strict=True):
            _check(slot, value)


def _check(slot: Column, value: Any) -> None:
    kind = slot.type
    if value is None:
        return
    if kind is ColumnType.CHOICE:
        assert value in slot.words
        return
    assert isinstance(value, TYPES[kind])
    if kind is ColumnType.INTEGER:
        assert not isinstance(value, bool)
    if kind is ColumnType.DATE:
        assert not isinstance(value, datetime)
    if kind is ColumnType.DATETIME:
        assert value.utcoffset() == timedelta(0)


def test_columns_are_in_the_requested_order(dataset: Dataset, two: Two) -> None:
    backwards = [column.name for column in reversed(dataset.columns)]
    assert len(set(backwards)) == len(backwards)
    columns = dataset.choose(backwards)
    assert [column.name for column in columns] == backwards
    [keys] = dataset.key_ranges(Selection(two[0], ALL), None)
    here = [slot.name for slot in flat(columns)]
    rows = [dict(zip(here, row, strict=True)) for row in dataset.source(Selection(two[0], ALL), columns, keys)]
    there = [slot.name for slot in flat(dataset.columns)]
    assert [tuple(row[name] for name in there) for row in rows] == rows_of(dataset, two[0])


def test_an_unknown_column_is_refused_by_name(dataset: Dataset) -> None:
    with pytest.raises(UnknownField, match="no field nonsense") as refused:
        dataset.choose([dataset.columns[0].name, "nonsense"])
    assert all(column.name in refused.value.message for column in dataset.columns)


def test_joined_parts_equal_the_whole(dataset: Dataset, two: Two) -> None:
    everything = rows_of(dataset, two[0])
    total = len(everything)
    for size in (1, 2, 7, total - 1, total, total + 1):
        ranges = dataset.key_ranges(Selection(two[0], ALL), size)
        assert [keys.rows for keys in ranges] == [min(size, total - done) for done in range(0, total, size)]
        assert all(before.last < after.first for before, after in pairwise(ranges))
        assert rows_of(dataset, two[0], rows_per_part=size) == everything


def test_a_period_includes_its_start_and_excludes_its_end(dataset: Dataset, two: Two) -> None:
    if dataset.date_field is None:
        pytest.skip("A dataset without dates has no periods.")
    assert isinstance(dataset.model_of(two[0])._meta.get_field(dataset.date_field), DateTimeField)
    moments = sorted(dataset.queryset(two[0]).values_list(dataset.date_field, flat=True))
    middle = moments[len(moments) // 2]
    before, after = (rows_of(dataset, two[0], period) for period in (Period(None, middle), Period(middle, None)))
    assert len(after) == sum(moment >= middle for moment in moments)
    assert sorted(map(repr, before + after)) == sorted(map(repr, rows_of(dataset, two[0])))
    assert rows_of(dataset, two[0], Period(middle, middle)) == []


def test_rows_created_after_the_request_are_left_out(dataset: Dataset, two: Two) -> None:
    if dataset.date_field is None:
        pytest.skip("A dataset without dates has no times of creation.")
    requested_at = sorted(dataset.queryset(two[0]).values_list(dataset.date_field, flat=True))[-2]
    period = Period(None, None, requested_at)
    before = dataset.created_before(dataset.queryset(two[0]), requested_at).count()
    assert before < len(rows_of(dataset, two[0])), "leave out the rows created after the request in created_before()"
    assert len(rows_of(dataset, two[0], period)) == before


def test_a_sample_consists_of_the_rows(dataset: Dataset, two: Two) -> None:
    columns = dataset.choose([])
    for size in (None, 7):
        ranges = dataset.key_ranges(Selection(two[0], ALL), size)
        sample = dataset.sample(Selection(two[0], ALL), columns, ranges)
        assert 0 < len(sample) <= 200
        assert set(sample) <= set(rows_of(dataset, two[0]))
    assert dataset.sample(Selection(two[0], ALL), columns, []) == []


def test_neither_a_period_nor_a_page_scans_the_table(dataset: Dataset, two: Two) -> None:
    period = Period(datetime(2013, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    first, *_ = keys_of(dataset, two[0])
    for query in _queries(dataset, two[0], period, first):
        assert not list(_scans(query)), query.explain()


def _queries(dataset: Dataset, user: User, period: Period, key: Any) -> Iterator[QuerySet[Any]]:
    chosen = dataset.selected(Selection(user, period))
    yield chosen
    yield chosen.filter(pk__gt=key, pk__lte=key)[:2_000]


def _scans(query: QuerySet[Any]) -> Iterator[str]:
    """Yield the lines of the database's plan that read a whole table."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # otherwise it scans so small a table despite the index
            cursor.execute("SET LOCAL enable_seqscan = off")
    table = query.model._meta.db_table
    for line in query.explain().splitlines():
        if f"Seq Scan on {table}" in line or f"SCAN {table}" in line:
            yield line
