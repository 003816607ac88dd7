"""Cutting and reading datasets on difficult tables: gaps, rows of other owners in between, other types of keys."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.sessions.models import Session
from django.db import connection, models
from django.db.models import Count, F, QuerySet, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext, isolate_apps

from exports.datasets import Column, ColumnType, Dataset, KeyRange, Selection, source
from exports.demo.models import Order
from exports.models.period import Period

ALL = Period()
START = datetime(2026, 1, 1, tzinfo=UTC)


class Orders(Dataset):
    """Orders, not registered."""

    key = "test-orders"
    label = "Orders"
    columns = (Column("number", "Number"),)
    date_field = "placed_at"

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return Order.objects.filter(owner_id=user.pk)


class Sessions(Dataset):
    """Rows with text keys."""

    key = "test-sessions"
    label = "Sessions"
    columns = (Column("session_key", "Key"),)
    date_field = "expire_date"

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return Session.objects.all()


class People(Dataset):
    """Grouped rows: an aggregate over a join that could duplicate them."""

    key = "test-people"
    label = "People"
    columns = (Column("username", "Name"), Column("placed", "Orders", ColumnType.INTEGER))
    date_field = "date_joined"

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return User.objects.filter(orders__isnull=False).annotate(placed=Count("orders"))


with isolate_apps("tests.flights"):  # hides the model from tests that walk all models

    class Parcel(models.Model):
        """A model whose keys are not ordered by time."""

        id = models.UUIDField(primary_key=True)
        sent_at = models.DateTimeField()

        objects: ClassVar[models.Manager[Any]] = models.Manager()

        class Meta:
            app_label = "flights"

        def __str__(self) -> str:
            return str(self.pk)


class Parcels(Dataset):
    key = "test-parcels"
    label = "Parcels"
    columns = (Column("id", "Key"),)
    date_field = "sent_at"

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return Parcel.objects.all()


def order(owner: User, minute: int, **values: Any) -> Order:
    fields: dict[str, Any] = {"number": str(minute), "quantity": 1, "unit_price": "1.10", "total": "1.10"} | values
    return Order.objects.create(owner=owner, placed_at=START + timedelta(minutes=minute), **fields)


def read(dataset: Dataset, user: User, period: Period, rows_per_part: int | None) -> tuple[list[KeyRange], list[Any]]:
    ranges = dataset.key_ranges(Selection(user, period), rows_per_part)
    columns = dataset.choose([])
    return ranges, [row for keys in ranges for row in dataset.source(Selection(user, period), columns, keys)]


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_user("owner@example.com")


@pytest.fixture
def stranger(db: None) -> User:
    return User.objects.create_user("stranger@example.com")


@pytest.mark.parametrize("seed", range(12))
def test_any_mix_of_owners_gaps_and_times_is_cut_without_loss(owner: User, stranger: User, seed: int) -> None:
    chance = Random(seed)
    for _ in range(chance.randint(0, 40)):
        order(chance.choice([owner, owner, stranger]), chance.randint(0, 100))
    Order.objects.filter(
        pk__in=chance.sample(list(Order.objects.values_list("pk", flat=True)), Order.objects.count() // 4)
    ).delete()
    period = Period(START + timedelta(minutes=10), START + timedelta(minutes=80))
    wanted = list(
        Order.objects.filter(owner=owner, placed_at__gte=period.start, placed_at__lt=period.end)
        .order_by("id")
        .values_list("id", "number")
    )
    for size in (1, 2, 3, 5, 40, None):
        ranges, rows = read(Orders(), owner, period, size)
        step = size or max(len(wanted), 1)
        chunks = [wanted[at : at + step] for at in range(0, len(wanted), step)]
        assert ranges == [KeyRange(part[0][0], part[-1][0], len(part)) for part in chunks]
        assert rows == [(number,) for _, number in wanted]


@pytest.mark.parametrize("total", range(9))
def test_pages_cover_all_rows_for_any_remainder(owner: User, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "CHUNK", 3)
    for minute in range(total):
        order(owner, minute)
    with CaptureQueriesContext(connection) as seen:
        assert [row[0] for row in read(Orders(), owner, ALL, None)[1]] == [str(minute) for minute in range(total)]
    planning = 3 if total else 1
    assert len(seen) - planning == -(-total // 3)


@pytest.mark.parametrize(("rows_per_part", "parts", "queries"), [(30, 1, 1), (15, 2, 2), (4, 8, 4), (3, 10, 2)])
def test_the_number_of_planning_queries_is_fixed(owner: User, rows_per_part: int, parts: int, queries: int) -> None:
    for minute in range(30):
        order(owner, minute)
    with CaptureQueriesContext(connection) as seen:
        assert len(Orders().key_ranges(Selection(owner, ALL), rows_per_part)) == parts
    assert len(seen) == queries


def test_zero_is_a_valid_key(owner: User) -> None:
    keys = [-5, -4, -3, -2, 0]
    for minute, key in enumerate(keys):
        order(owner, minute, pk=key)
    ranges, rows = read(Orders(), owner, ALL, 3)
    assert (ranges, len(rows)) == ([KeyRange(-5, -3, 3), KeyRange(-2, 0, 2)], len(keys))


def test_rows_added_after_planning_are_left_out(owner: User) -> None:
    for minute in range(5):
        order(owner, minute)
    ranges = Orders().key_ranges(Selection(owner, ALL), None)
    order(owner, 3)
    columns = Orders().choose([])
    assert [row[0] for keys in ranges for row in Orders().source(Selection(owner, ALL), columns, keys)] == list("01234")


def test_only_rows_deleted_after_planning_are_missing(owner: User) -> None:
    made = [order(owner, minute) for minute in range(6)]
    ranges = Orders().key_ranges(Selection(owner, ALL), 3)
    Order.objects.filter(pk__in=[made[0].pk, made[2].pk, made[5].pk]).delete()
    columns = Orders().choose([])
    assert [row[0] for keys in ranges for row in Orders().source(Selection(owner, ALL), columns, keys)] == list("134")


def test_a_range_of_text_keys(owner: User) -> None:
    for number in range(11):
        Session.objects.create(session_key=f"{number * 7919 % 11:x}é", session_data="", expire_date=START)
    for size in (1, 3, 11, None):
        rows = read(Sessions(), owner, ALL, size)[1]
        assert len(rows) == 11
        assert rows == list(Session.objects.order_by("pk").values_list("pk"))


def test_grouped_rows_are_cut_by_group(owner: User, stranger: User) -> None:
    for minute in range(5):
        order(owner, minute)
        order(stranger, minute)
    order(stranger, 9)
    for size in (1, 2, None):
        ranges, rows = read(People(), owner, ALL, size)
        assert rows == [("owner@example.com", 5), ("stranger@example.com", 6)]
        assert sum(keys.rows for keys in ranges) == 2


def test_keys_stored_as_text_select_the_same_rows(owner: User) -> None:
    made = [order(owner, minute) for minute in range(4)]
    keys = KeyRange(str(made[1].pk), str(made[2].pk), 2)
    assert [row[0] for row in Orders().source(Selection(owner, ALL), Orders().choose([]), keys)] == ["1", "2"]


def test_columns_may_share_a_source_and_cross_relations(owner: User) -> None:
    one = order(owner, 7, buyer="Zoë", city="Łódź")
    columns = [
        Column("a", "A", source="number"),
        Column("b", "B", source=Concat("buyer", Value(" / "), "city")),
        Column("c", "C", source="number"),
        Column("owner", "Owner", source="owner__email"),
        Column("company", "Company", source="owner__customer__company"),
        Column("twice", "Twice", ColumnType.INTEGER, source=F("quantity") * 2),
        Column("key", "Key", ColumnType.INTEGER, source="pk"),
        Column("id", "Id", ColumnType.INTEGER),
    ]
    owner.email = "me@example.com"
    owner.save()
    [keys] = Orders().key_ranges(Selection(owner, ALL), None)
    [row] = Orders().source(Selection(owner, ALL), columns, keys)
    assert row == ("7", "Zoë / Łódź", "7", "me@example.com", None, 2, one.pk, one.pk)


@pytest.fixture
def parcels(transactional_db: None) -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(Parcel)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Parcel)


def test_a_range_of_uuid_keys(parcels: None) -> None:
    user = User.objects.create_user("one@example.com")
    chance = Random(1)
    made = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(25)]
    Parcel.objects.bulk_create(Parcel(id=key, sent_at=START) for key in made)
    for size in (1, 4, 25, None):
        ranges, rows = read(Parcels(), user, ALL, size)
        assert sorted(row[0] for row in rows) == sorted(map(str, made))
        assert sum(keys.rows for keys in ranges) == 25


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite holds such a snapshot")
def test_reading_holds_no_snapshot_that_blocks_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """After another connection writes between two rows, this one can still write: it saves a part's progress."""
    monkeypatch.setattr(source, "CHUNK", 10)
    user = User.objects.create_user("one@example.com")
    for minute in range(25):
        order(user, minute)
    [keys] = Orders().key_ranges(Selection(user, ALL), None)
    rows = iter(Orders().source(Selection(user, ALL), Orders().choose([]), keys))
    next(rows)
    name = str(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(name, uri=name.startswith("file:"), timeout=0)) as other:
        other.execute("UPDATE auth_user SET first_name = 'x'")
        other.execute("UPDATE demo_order SET note = 'x'")
        other.commit()
    User.objects.update(last_name="y")
    Order.objects.update(city="y")
    assert len(list(rows)) == 24
