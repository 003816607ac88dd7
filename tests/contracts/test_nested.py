"""Nested columns: the objects in a row are the rows of the joined tables, each once, and only those of the owner."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext, isolate_apps

from exports.datasets import Column, ColumnType, Dataset, KeyRange, Nested, Row, Selection, source
from exports.datasets.tables import NestedTable, tables
from exports.errors import DatasetFailed
from exports.formats import writer, writers
from exports.models.period import Period
from tests.contracts.test_same_file import File
from tests.market.models import Basket, Line, Tag
from tests.support import pdf
from tests.support.baskets import NESTED, START, Baskets, baskets, fill
from tests.support.formats import context

pytestmark = pytest.mark.django_db
ALL = Period()
Objects = dict[Any, list[list[Row]]]
"""The values of all nested columns by the key of their row."""


@pytest.fixture
def shop(ada: User, bob: User) -> None:
    baskets(ada, bob)


def read(dataset: Dataset, selection: Selection, columns: Sequence[Column], size: int | None) -> list[Row]:
    """Return the rows of all parts of `size` rows."""
    ranges = dataset.key_ranges(selection, size)
    return [row for keys in ranges for row in dataset.source(selection, columns, keys)]


def objects(dataset: Dataset, selection: Selection, size: int | None = None) -> Objects:
    """Return the objects in the rows of a format that holds them."""
    columns = [Column("pk", "Key"), *(each for each in dataset.choose([]) if isinstance(each, Nested))]
    return {key: list(nested) for key, *nested in read(dataset, selection, columns, size)}


def joined(dataset: Dataset, selection: Selection, size: int | None = None) -> Objects:
    """Return the same from the tables of a flat format, joined by the key."""
    (parents, columns), *children = tables(dataset, dataset.choose([]), objects=False)
    found: Objects = {}
    for key, *_ in read(parents, selection, columns, size):
        found[str(key)] = [[] for _ in children]
    for place, (table, columns) in enumerate(children):
        for key, *values in read(table, selection, columns, size):
            found[str(key)][place].append(tuple(values))
    return found


@pytest.mark.parametrize("size", [None, 1, 2, 3, 100])
@pytest.mark.parametrize("chunk", [1, 2, 2_000])
def test_the_objects_are_those_of_the_joined_tables(
    shop: None, ada: User, size: int | None, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "CHUNK", chunk)
    found = objects(Baskets(), Selection(ada), size)
    assert found == joined(Baskets(), Selection(ada), size)
    assert len(found) == 7
    expected: dict[str, list[str]] = defaultdict(list)
    for line in Line.objects.filter(basket__owner=ada).order_by("pk"):
        expected[str(line.basket_id)].append(line.title)
    assert {key: [row[0] for row in lines] for key, (lines, _, _) in found.items() if lines} == expected


def test_users_see_only_the_objects_of_their_own_rows(shop: None, ada: User, bob: User) -> None:
    for owner in (ada, bob):
        for found in (objects(Baskets(), Selection(owner)), joined(Baskets(), Selection(owner))):
            texts = [str(value) for nested in found.values() for rows in nested[::2] for row in rows for value in row]
            assert any(f" {owner}-" in text for text in texts)
            assert not any(f" {other}-" in text for text in texts for other in {ada, bob} - {owner})
            assert "not on a basket" not in texts
    stranger = User.objects.create_user("stranger")
    assert objects(Baskets(), Selection(stranger)) == joined(Baskets(), Selection(stranger)) == {}


def test_another_users_key_range_returns_only_own_objects(shop: None, ada: User, bob: User) -> None:
    for nested in NESTED:
        table = NestedTable(Baskets(), nested)
        [theirs] = table.key_ranges(Selection(bob), None)
        [mine] = table.key_ranges(Selection(ada), None)
        both = KeyRange(min(mine.first, theirs.first), max(mine.last, theirs.last), 0)
        found = list(table.source(Selection(ada), table.choose([]), both))
        assert len(found) == mine.rows
        assert {row[0] for row in found} <= set(Basket.objects.filter(owner=ada).values_list("pk", flat=True))


def test_objects_that_the_manager_hides_are_left_out(shop: None, ada: User) -> None:
    secret = Tag._base_manager.get(name="secret")
    assert secret.baskets.filter(owner=ada).exists()
    for found in (objects(Baskets(), Selection(ada)), joined(Baskets(), Selection(ada))):
        assert {name for _, tags, _ in found.values() for (name,) in tags} == {"red", "blue"}


def test_the_period_is_that_of_the_rows(shop: None, ada: User) -> None:
    some = Selection(ada, Period(START + timedelta(2), START + timedelta(5)))
    assert len(objects(Baskets(), some)) == 3
    assert objects(Baskets(), some) == joined(Baskets(), some)


def test_objects_of_rows_created_after_the_request_are_left_out(shop: None, ada: User) -> None:
    until = Selection(ada, Period(None, None, START + timedelta(3)))
    assert len(objects(Baskets(), until)) == 3
    assert objects(Baskets(), until) == joined(Baskets(), until)


def test_each_page_takes_one_query_for_each_nested_column(shop: None, ada: User) -> None:
    columns = Baskets().choose([])
    [keys] = Baskets().key_ranges(Selection(ada), None)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        rows = list(Baskets().source(Selection(ada), columns, keys))
    assert (len(rows), len(queries)) == (7, 1 + 3)


def test_pages_with_many_objects_are_split(shop: None, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = objects(Baskets(), Selection(ada))
    monkeypatch.setattr(source, "OBJECTS", 4)
    [keys] = Baskets().key_ranges(Selection(ada), None)
    pages = list(Baskets().source(Selection(ada), Baskets().choose([]), keys).batches())
    assert sum(map(len, pages)) == 7
    assert all(sum(len(row[2]) for row in page) <= 4 for page in pages)
    assert objects(Baskets(), Selection(ada)) == expected


def test_a_row_with_too_many_objects_is_refused_with_what_to_do(
    shop: None, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "OBJECTS", 2)
    monkeypatch.setattr(source, "MOST_OBJECTS", 3)
    crowded = Basket.objects.filter(owner=ada).order_by("pk")[0]
    with pytest.raises(DatasetFailed, match=f"“Lines” has more than 3 entries for the row {crowded.pk}.* such as CSV"):
        objects(Baskets(), Selection(ada))
    monkeypatch.setattr(source, "MOST_OBJECTS", 4)
    assert objects(Baskets(), Selection(ada)) == joined(Baskets(), Selection(ada))


def test_rows_added_between_planning_and_reading(shop: None, ada: User) -> None:
    """The tables leave out what comes after the last planned key, as those of datasets do; a row has what it has."""
    table = NestedTable(Baskets(), NESTED[0])
    [keys] = table.key_ranges(Selection(ada), None)
    before = len(list(table.source(Selection(ada), table.choose([]), keys)))
    fill(Basket.objects.filter(owner=ada)[0], 2)
    assert len(list(table.source(Selection(ada), table.choose([]), keys))) == before
    assert len(read(table, Selection(ada), table.choose([]), None)) == before + 2


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [kind.key for kind in writers() if not kind.holds_objects])
def test_the_file_of_a_nested_table_does_not_depend_on_parts(ada: User, bob: User, key: str) -> None:
    baskets(ada, bob, count=30)
    table = NestedTable(Baskets(), NESTED[0])
    whole = File(key, None, table, ada)
    for size in (9, 30):
        cut = File(key, size, table, ada)
        assert len(cut.ranges) > len(whole.ranges)
        if key == "pdf":
            assert pdf.differences(whole.data, cut.data) == []
        assert cut.content == whole.content


@pytest.mark.parametrize("key", ["json", "jsonl"])
def test_the_file_with_objects_does_not_depend_on_parts(
    ada: User, bob: User, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    baskets(ada, bob, count=30)
    whole = File(key, None, Baskets(), ada)
    monkeypatch.setattr(source, "OBJECTS", 5)
    for size in (1, 7, 20):
        assert File(key, size, Baskets(), ada).data == whole.data


def test_objects_are_written_like_rows(shop: None, ada: User) -> None:
    """Each object in JSON is the object that the same row would be in a file of its own."""
    table = NestedTable(Baskets(), NESTED[0])
    columns = list(table.relation.columns)
    body = BytesIO()
    writer("jsonl").write(read(table, Selection(ada), columns, None), body, context(columns))
    expected = sorted(body.getvalue().decode().splitlines())
    nested = [column for column in Baskets().choose([]) if column.name == "lines"]
    file = BytesIO()
    writer("jsonl").write(read(Baskets(), Selection(ada), nested, None), file, replace(context(nested)))
    lines = file.getvalue().decode().splitlines()
    assert sorted(f"{{{text}}}" for line in lines for text in _texts(line)) == expected
    assert [json.loads(line)["lines"] for line in lines].count([]) == 2


def _texts(line: str) -> list[str]:
    """Return the texts between the braces of the objects in a line with one nested column."""
    inside = line.removeprefix('{"lines":[').removesuffix("]}")
    return inside.removeprefix("{").removesuffix("}").split("},{") if inside else []


# --- other relations and keys ---------------------------------------------------------------------------------------


class Groups(Dataset):
    key, label, date_field = "groups", "Groups", None
    columns: ClassVar[Sequence[Column]] = (
        Column("name", "Name"),
        Nested("user_set", ["username", Column("capitals", "Capitals", function=lambda user: user.username.upper())]),
    )

    def queryset(self, user: Any) -> QuerySet[Group]:
        return Group.objects.all()


def test_the_other_side_of_a_many_to_many_relation(ada: User, bob: User) -> None:
    for group, members in (("a", [ada, bob]), ("b", []), ("c", [bob])):
        Group.objects.create(name=group).user_set.set(members)
    found = objects(Groups(), Selection(ada))
    assert found == joined(Groups(), Selection(ada))
    assert [sorted(users) for (users,) in found.values()] == [[("ada", "ADA"), ("bob", "BOB")], [], [("bob", "BOB")]]
    [column] = [column for column in Groups().choose([]) if isinstance(column, Nested)]
    assert column.label == "User"


with isolate_apps("tests.flights"):

    class Letter(models.Model):  # noqa: DJ008
        """A model whose key is a UUID, and which others name by a unique field."""

        id = models.UUIDField(primary_key=True)
        number = models.CharField(max_length=9, unique=True)
        replies = models.ManyToManyField("self", symmetrical=False, related_name="+")
        stamps = GenericRelation("Stamp")

        class Meta:
            app_label = "flights"

    class Sheet(models.Model):  # noqa: DJ008
        """A page of a letter."""

        id = models.UUIDField(primary_key=True)
        letter = models.ForeignKey(Letter, models.CASCADE, to_field="number")
        text = models.TextField()

        class Meta:
            app_label = "flights"

    class Stamp(models.Model):  # noqa: DJ008
        content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+")
        object_id = models.UUIDField()
        on = GenericForeignKey()
        value = models.IntegerField()

        class Meta:
            app_label = "flights"


class Letters(Dataset):
    key, label, date_field = "letters", "Letters", None
    columns: ClassVar[Sequence[Column]] = (
        Column("number", "Number"),
        Nested("sheet_set", [Column("letter", "Letter"), "text"]),
        Nested("replies", ["number", "pk"]),
        Nested("stamps", [Column("value", "Value", ColumnType.INTEGER)]),
    )

    def queryset(self, user: Any) -> QuerySet[Letter]:
        return Letter._default_manager.all()


@pytest.fixture
def letters(transactional_db: None) -> Iterator[None]:
    made = (Letter, Sheet, Stamp)
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in reversed(made):
            editor.delete_model(model)


@pytest.mark.parametrize("size", [None, 1, 2])
def test_other_keys_than_numbers(letters: None, size: int | None) -> None:
    owner = User.objects.create_user("owner")
    keys = [uuid.UUID(int=(place * 7919) % 31 << 64) for place in range(1, 6)]
    Letter._default_manager.bulk_create(Letter(id=key, number=f"L{place}") for place, key in enumerate(keys))
    for place, letter in enumerate(Letter._default_manager.order_by("number")):
        for text in range(place % 3):
            Sheet._default_manager.create(id=uuid.uuid4(), letter=letter, text=f"{letter.number}/{text}")
        letter.replies.set(Letter._default_manager.filter(number__gt=letter.number))
        kind = ContentType.objects.get_for_model(User)
        Stamp._default_manager.create(content_type=kind, object_id=letter.pk, value=99)
    assert Letters().faults(owner, Letters.columns) == []
    found = objects(Letters(), Selection(owner), size)
    assert found == joined(Letters(), Selection(owner), size)
    by_number = {each.number: found[str(each.pk)] for each in Letter._default_manager.all()}
    assert sorted(by_number["L2"][0]) == [("L2", "L2/0"), ("L2", "L2/1")]
    assert sorted(number for number, _ in by_number["L2"][1]) == ["L3", "L4"]
    assert all(nested[2] == [] for nested in found.values())
