"""Each row is exported once, with its own values, in every format and part size; otherwise the dataset is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.db.models import (
    Avg,
    Count,
    Exists,
    F,
    FilteredRelation,
    Func,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import RowNumber
from django.db.models.lookups import GreaterThan
from django.test.utils import isolate_apps

from exports import checks
from exports.datasets import Column, ColumnType, Dataset, source
from exports.demo.models import Customer, Order
from exports.errors import DatasetFailed, UnfitDataset, UnknownField
from exports.models import Export
from exports.states import State
from tests.support.exports import PLACED, registered, run
from tests.support.formats import read_csv
from tests.support.specimens import files_of, tables

pytestmark = pytest.mark.django_db
FORMATS = ["csv", "jsonl", "json", "xlsx", "parquet", "pdf"]
Rows = Callable[[], Any]


def order(owner: User, number: int, **values: Any) -> Order:
    fields: dict[str, Any] = {"quantity": 1, "unit_price": 1, "total": 1, "currency": "EUR"} | values
    return Order.objects.create(owner=owner, number=f"{number:05}", placed_at=PLACED, **fields)


def dataset_of(rows: Rows, columns: Sequence[Column], date_field: str) -> type[Dataset]:
    class Things(Dataset):
        key, label = "things", "Things"

        def queryset(self, user: Any) -> QuerySet[Any]:
            return rows()  # type: ignore[no-any-return]

    Things.columns, Things.date_field = columns, date_field
    return Things


@pytest.fixture
def shop(ada: User, bob: User) -> None:
    """Three users: ada with three orders and two groups, bob with two orders, eve with none."""
    User.objects.create_user("eve")
    for number in range(3):
        order(ada, number)
    for number in range(3, 5):
        order(bob, number)
    for name in ("buyers", "sellers"):
        ada.groups.add(Group.objects.create(name=name))


NAME = Column("username", "Name")
COUNT = Column("n", "N", ColumnType.INTEGER, source=Window(RowNumber(), order_by="pk"))
NUMBERED = RawSQL("row_number() over (order by auth_user.id)", (), output_field=models.IntegerField())
TEMPLATE = Func(F("pk"), template="count(*) over (order by %(expressions)s)", output_field=models.IntegerField())
SUBSELECT = RawSQL(
    "(SELECT max(n) FROM"
    " (SELECT row_number() OVER (ORDER BY o.id) AS n FROM demo_order AS o WHERE o.owner_id = auth_user.id) AS r)",
    (),
    output_field=models.IntegerField(),
)


class Series(Func):
    """A function that returns several rows for each row, on PostgreSQL."""

    function = "generate_series"
    output_field: ClassVar[Any] = models.IntegerField()
    set_returning = True


FIRST_ORDER = Subquery(Order.objects.filter(owner=OuterRef("pk")).order_by("pk").values("number")[:1])
PEOPLE: dict[str, tuple[Rows, Sequence[Column], str]] = {
    "a column of a to-many relation": (User.objects.all, [Column("o", "O", source="orders__number")], "orders"),
    "a column of a many-to-many relation": (User.objects.all, [Column("g", "G", source="groups__name")], "groups"),
    "an expression over a to-many relation": (
        User.objects.all, [Column("n", "N", ColumnType.INTEGER, source=F("orders__quantity") + 1)], "orders",
    ),
    "a filter over a to-many relation": (lambda: User.objects.filter(orders__number__gt=""), [NAME], "orders"),
    "an annotation of many": (
        lambda: User.objects.annotate(o=F("orders__number"), n=Count("orders")), [NAME], "orders",
    ),
    "distinct with an annotation of many": (
        lambda: User.objects.annotate(o=F("orders__number")).distinct(), [NAME, Column("o", "O")], "orders",
    ),
    "distinct on fields": (lambda: User.objects.order_by("username").distinct("username"), [NAME], "distinct"),
    "a window as a column": (User.objects.all, [COUNT], "Window"),
    "a window as an annotation": (lambda: User.objects.annotate(n=COUNT.source), [NAME], "Window"),
    "a window inside of an expression": (
        User.objects.all, [Column("n", "N", source=Window(Sum("pk"), order_by="pk") + 1)], "Window",
    ),
    "a window in a filter": (
        lambda: User.objects.filter(GreaterThan(Window(RowNumber(), order_by=F("pk").asc()), 1)), [NAME], "Window",
    ),
    "a window in SQL": (User.objects.all, [Column("n", "N", ColumnType.INTEGER, source=NUMBERED)], "Window"),
    "a window in SQL as an annotation": (lambda: User.objects.annotate(n=NUMBERED), [NAME], "Window"),
    "a window in extra()": (
        lambda: User.objects.extra(select={"n": "row_number() OVER (ORDER BY id)"}), [NAME], "Window",
    ),
    "a window in a template": (User.objects.all, [Column("n", "N", ColumnType.INTEGER, source=TEMPLATE)], "Window"),
    "a window in SQL in a filter": (
        lambda: User.objects.filter(GreaterThan(NUMBERED, 1)), [NAME], "Window",
    ),
    "a window in extra(where=...)": (
        lambda: User.objects.extra(where=["count(*) OVER (ORDER BY id) > 1"]), [NAME], "Window",
    ),
    "a function that makes rows": (
        User.objects.all, [Column("n", "N", ColumnType.INTEGER, source=Series(1, 3))], "several rows",
    ),
    "an annotation that makes rows": (lambda: User.objects.annotate(n=Series(1, 3)), [NAME], "several rows"),
    "a filtered relation": (
        lambda: User.objects.annotate(o=FilteredRelation("orders", condition=Q(orders__number__gt=""))),
        [Column("o", "O", source="o__number")], "orders",
    ),
    "rows for an update": (User.objects.select_for_update, [NAME], "select_for_update"),
    "a subquery of two columns": (
        User.objects.all, [Column("two", "X", source=Subquery(Order.objects.values("pk", "number")))], "'two'",
    ),
    "values without an aggregate": (lambda: User.objects.values("is_staff"), [Column("is_staff", "N")], "values"),
    "a column that groups lack": (
        lambda: User.objects.values("is_staff").annotate(n=Count("*")), [Column("m", "M")], "no 'm'",
    ),
    "groups that count a row several times": (
        lambda: User.objects.filter(orders__number__gt="").values("is_staff").annotate(n=Count("*")),
        [Column("n", "N", ColumnType.INTEGER)], "joined together",
    ),
    "values": (lambda: User.objects.values_list("username"), [NAME], "values"),
    "a union": (lambda: User.objects.filter(pk=1).union(User.objects.filter(pk=2)), [NAME], "union"),
    "a slice": (lambda: User.objects.all()[:2], [NAME], "slice"),
    "extra tables": (lambda: User.objects.extra(tables=["demo_order"]), [NAME], "extra"),
    "no queryset": (lambda: [1, 2, 3], [NAME], "list"),
    "two sums over two relations": (
        User.objects.all,
        [
            Column("a", "A", ColumnType.INTEGER, source=Count("orders")),
            Column("b", "B", ColumnType.INTEGER, source=Sum("groups__pk")),
        ],
        "joined together",
    ),
    "an unknown field": (User.objects.all, [Column("nmae", "Name")], "nmae"),
    "an unknown field of another model": (User.objects.all, [Column("x", "X", source="customer__nothing")], "nothing"),
    "an unknown field in an expression": (User.objects.all, [Column("x", "X", source=F("nothing") + 1)], "nothing"),
    "an unknown currency": (User.objects.all, [Column("id", "X", ColumnType.MONEY, currency=F("coin"))], "coin"),
}  # fmt: skip


@pytest.mark.parametrize("name", PEOPLE)
def test_unfit_datasets_are_refused_at_the_request_and_at_startup(shop: None, ada: User, name: str) -> None:
    rows, columns, word = PEOPLE[name]
    with registered(dataset_of(rows, columns, "date_joined")):
        with pytest.raises(UnfitDataset) as refused:
            run(ada, "csv", dataset="things")
        [*found] = checks.check_datasets()
    assert not Export.objects.exists()
    assert word in str(refused.value.__cause__)
    assert word not in refused.value.message, "the owner must not see our column names"
    assert any(word in fault.msg for fault in found)


@pytest.mark.parametrize("key", FORMATS)
@pytest.mark.parametrize("fields", [["username"], ["known"]])
def test_rows_of_an_ordered_queryset_are_exported_once(
    ada: User, key: str, fields: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """reverse() also inverts later orders, so that each page would start where the previous one started."""
    monkeypatch.setattr(source, "CHUNK", 3)
    for number in range(8):
        User.objects.create_user(f"user {number}")
    columns = [NAME, Column("known", "Known", function=lambda user: user.username)]
    with registered(dataset_of(lambda: User.objects.order_by("username").reverse(), columns, "date_joined")):
        export = run(ada, key, dataset="things", fields=fields)
    assert (export.state, export.rows) == (State.READY, 9), export.error_detail
    for table in tables(export).values():
        [*names] = [next(iter(row.values())) for row in table]
        assert names == list(User.objects.order_by("pk").values_list("username", flat=True))


def test_created_before_with_a_to_many_relation_is_refused(ada: User) -> None:
    class Things(dataset_of(User.objects.all, [NAME], "date_joined")):  # type: ignore[misc]
        def created_before(self, rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
            return rows.filter(orders__placed_at__lt=moment)

    with registered(Things):
        with pytest.raises(UnfitDataset):
            run(ada, "csv", dataset="things")
        assert "orders" in checks.check_datasets()[0].msg


def test_missing_attributes_are_named_at_registration() -> None:
    class Bare(Dataset):
        key = "bare"

        def queryset(self, user: Any) -> QuerySet[Any]:
            return User.objects.all()

    with pytest.raises(ImproperlyConfigured, match="Bare lacks columns"), registered(Bare):
        pass


def test_an_error_in_the_queryset_is_found_at_startup() -> None:
    def misspelt() -> Any:
        return User.objectz.all()  # type: ignore[attr-defined]

    with registered(dataset_of(misspelt, [NAME], "date_joined")):
        [fault, *_] = checks.check_datasets()
    assert "objectz" in fault.msg


FIT: dict[str, tuple[Rows, Sequence[Column], list[list[str]]]] = {
    "distinct over a to-many relation": (
        lambda: User.objects.filter(orders__number__gt="").distinct(), [NAME], [["ada"], ["bob"]],
    ),
    "distinct over rows that are distinct": (lambda: User.objects.distinct(), [NAME], [["ada"], ["bob"], ["eve"]]),
    "rows that exist elsewhere": (
        lambda: User.objects.filter(Exists(Order.objects.filter(owner=OuterRef("pk")))), [NAME], [["ada"], ["bob"]],
    ),
    "an exclude": (lambda: User.objects.exclude(orders__number="00000"), [NAME], [["bob"], ["eve"]]),
    "a sum of a column": (
        User.objects.all,
        [NAME, Column("n", "N", ColumnType.INTEGER, source=Count("orders"))],
        [["ada", "3"], ["bob", "2"], ["eve", "0"]],
    ),
    "counts that are distinct": (
        User.objects.all,
        [
            Column("a", "A", ColumnType.INTEGER, source=Count("orders", distinct=True)),
            Column("b", "B", ColumnType.INTEGER, source=Count("groups", distinct=True)),
            Column("c", "C", source=Max("groups__name")),
        ],
        [["3", "2", "sellers"], ["2", "0", ""], ["0", "0", ""]],
    ),
    "a subquery": (
        User.objects.all,
        [Column("o", "O", source=FIRST_ORDER)],
        [["00000"], ["00003"], [""]],
    ),
    "a window in a subquery": (
        lambda: User.objects.filter(
            pk__in=Order.objects.annotate(place=Window(RowNumber(), partition_by="owner", order_by="pk"))
            .filter(place=3)
            .values("owner")
        ),
        [NAME],
        [["ada"]],
    ),
    "a window in a subquery in SQL": (
        User.objects.all,
        [NAME, Column("n", "N", ColumnType.INTEGER, source=SUBSELECT)],
        [["ada", "3"], ["bob", "2"], ["eve", ""]],
    ),
    "a one-to-one relation": (
        User.objects.all, [Column("c", "C", source="customer__company")], [["Ada Ltd"], [""], [""]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("name", FIT)
def test_valid_datasets_are_exported_correctly(shop: None, ada: User, settings: Any, name: str, size: int) -> None:
    Customer.objects.create(user=ada, company="Ada Ltd", country="GB", time_zone="Europe/London")
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": size}
    rows, columns, wanted = FIT[name]
    with registered(dataset_of(rows, columns, "date_joined")):
        assert checks.check_datasets() == []
        export = run(ada, "csv", dataset="things")
        assert export.state == State.READY, export.error_detail
        [data] = files_of(export).values()
        assert read_csv(data)[1:] == wanted
        assert run(ada, "pdf", dataset="things").rows == len(wanted)


with isolate_apps("tests.work"):

    class Keyed(models.Model):
        at = models.DateTimeField(default=PLACED)

        objects: ClassVar[models.Manager[Any]] = models.Manager()

        class Meta:
            abstract = True
            app_label = "work"

        def __str__(self) -> str:
            return str(self.pk)

    class ByText(Keyed):
        key = models.CharField(primary_key=True, max_length=500)

    class ByBytes(Keyed):
        key = models.BinaryField(primary_key=True)

    class ByUuid(Keyed):
        key = models.UUIDField(primary_key=True)

    class ByMoment(Keyed):
        key = models.DateTimeField(primary_key=True)

    class ByDay(Keyed):
        key = models.DateField(primary_key=True)

    class ByDecimal(Keyed):
        key = models.DecimalField(primary_key=True, max_digits=20, decimal_places=6)

    class ByTwo(Keyed):
        pk = models.CompositePrimaryKey("one", "two")
        one = models.IntegerField()
        two = models.IntegerField()

    class Note(Keyed):
        """A note about a row of any model."""

        content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
        object_id = models.PositiveIntegerField()
        item = GenericForeignKey()

    class Noted(Keyed):
        name = models.CharField(max_length=9)
        notes = GenericRelation(Note)

    class Loose(Keyed):
        """A view whose key is not unique."""

        key = models.IntegerField(primary_key=True)

        class Meta(Keyed.Meta):
            managed = False
            db_table = "work_loose"


TEXTS = ["", "a" * 400, "a,b", "é\n", "z" * 101, "1", "01"]
KEYS: dict[type[models.Model], list[Any]] = {
    ByText: TEXTS,
    ByBytes: [b"", b"\x00\xff", b"abc", b"~" * 200],
    ByUuid: [uuid.UUID(int=number * 7919**8, version=4) for number in range(1, 9)],
    ByMoment: [datetime(2026, 1, 1, 12, minute, 0, 123456, tzinfo=UTC) for minute in range(7)],
    ByDay: [date(2026, 1, day) for day in range(1, 8)],
    ByDecimal: [Decimal(number) / 4 for number in range(-3, 4)],
}


@pytest.fixture
def table(transactional_db: None, request: pytest.FixtureRequest) -> Iterator[type[models.Model]]:
    model: type[models.Model] = request.param
    with connection.schema_editor() as editor:
        editor.create_model(model)
    yield model
    with connection.schema_editor() as editor:
        editor.delete_model(model)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", KEYS, ids=lambda model: model.__name__, indirect=True)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_keys_of_every_type_can_be_cut_anywhere(table: Any, ada: User, settings: Any, size: int) -> None:
    if table is ByDecimal and connection.vendor == "sqlite":
        with registered(dataset_of(table.objects.all, [NAME], "at")), pytest.raises(UnfitDataset):
            run(ada, "jsonl", dataset="things")
        return
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": size}
    keys = KEYS[table]
    table.objects.bulk_create(table(pk=key) for key in keys)
    columns = [Column("at", "At", ColumnType.DATETIME), Column("known", "Known", function=lambda row: repr(row.pk))]
    with registered(dataset_of(table.objects.all, columns, "at")):
        for chosen in (["at"], ["known"]):
            export = run(ada, "jsonl", dataset="things", fields=chosen)
            assert export.state == State.READY, export.error_detail
            assert export.rows == len(keys)
            [rows] = tables(export).values()
            assert len(rows) == len(keys)
            if chosen == ["known"]:
                assert len({row["known"] for row in rows}) == len(keys)


@pytest.fixture
def noted(transactional_db: None) -> Iterator[None]:
    """Three things with three notes each."""
    with connection.schema_editor() as editor:
        editor.create_model(Note)
        editor.create_model(Noted)
    kind, _ = ContentType.objects.get_or_create(app_label="work", model="noted")
    for name in "abc":
        thing = Noted.objects.create(name=name)
        Note.objects.bulk_create(Note(content_type=kind, object_id=thing.pk) for _ in range(3))
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Noted)
        editor.delete_model(Note)


GENERIC_RELATIONS: dict[str, tuple[Rows, Sequence[Column], str]] = {
    "a column": (Noted.objects.all, [Column("x", "X", ColumnType.INTEGER, source="notes__object_id")], "notes"),
    "a filter": (lambda: Noted.objects.filter(notes__object_id__gt=0), [Column("name", "Name")], "notes"),
    "distinct": (lambda: Noted.objects.filter(notes__object_id__gt=0).distinct(), [Column("name", "Name")], ""),
    "a count": (Noted.objects.all, [Column("name", "Name"), Column("n", "N", source=Count("notes"))], ""),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", GENERIC_RELATIONS)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_generic_relation_is_to_many(noted: None, ada: User, settings: Any, name: str, size: int) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": size}
    rows, columns, word = GENERIC_RELATIONS[name]
    with registered(dataset_of(rows, columns, "at")):
        if word:
            with pytest.raises(UnfitDataset) as refused:
                run(ada, "csv", dataset="things")
            assert word in str(refused.value.__cause__)
            return
        export = run(ada, "csv", dataset="things")
    assert (export.state, export.rows) == (State.READY, 3), export.error_detail
    [data] = files_of(export).values()
    assert [row[0] for row in read_csv(data)[1:]] == ["a", "b", "c"]


def test_rows_filtered_by_created_before_are_exported_once(ada: User, settings: Any) -> None:
    """distinct() in created_before(): twelve users with three orders each, in parts of five."""
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 5}
    names = [f"person {number:02}" for number in range(12)]
    for name in names:
        person = User.objects.create_user(name)
        for number in range(3):
            order(person, number)

    class Things(dataset_of(User.objects.all, [NAME], "date_joined")):  # type: ignore[misc]
        def created_before(self, rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
            return rows.filter(orders__placed_at__lt=moment).distinct()

    with registered(Things):
        export = run(ada, "csv", dataset="things")
    assert (export.state, export.rows, export.parts.count()) == (State.READY, 12, 3), export.error_detail
    [data] = files_of(export).values()
    assert read_csv(data)[1:] == [[name] for name in names]


@pytest.mark.parametrize("key", FORMATS)
def test_rows_multiplied_by_raw_sql_fail_the_export(shop: None, ada: User, key: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no set-returning functions in SELECT")
    many = RawSQL("generate_series(1, 3)", (), output_field=models.IntegerField())
    with registered(dataset_of(User.objects.all, [Column("n", "N", ColumnType.INTEGER, source=many)], "date_joined")):
        export = run(ada, key, dataset="things")
    assert export.state == State.FAILED


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(DatasetFailed) as failed:
        source._require_order([1, 3, 2], source.ORDERED_KEYS)
    assert "2 comes after 3" in str(failed.value.__cause__)
    source._require_order(["b", "a"], source.ORDERED_KEYS)  # the order of text is that of the database


def test_a_composite_key_is_refused(ada: User) -> None:
    with registered(dataset_of(ByTwo.objects.all, [Column("one", "One")], "at")):
        with pytest.raises(UnfitDataset) as refused:
            run(ada, "csv", dataset="things")
        assert "composite" in str(refused.value.__cause__)
        assert "composite" in checks.check_datasets()[0].msg


@pytest.mark.parametrize("key", FORMATS)
@pytest.mark.parametrize("copies", [(3, 2), (1,)])
def test_a_view_with_repeated_keys_fails_the_export(ada: User, key: str, copies: tuple[int, ...]) -> None:
    """Its rows would be lost at the end of a page or part."""
    rows = " UNION ALL ".join(
        f"SELECT {number} AS key, TIMESTAMP '2026-03-01 12:00:00+00' AS at" for number in range(9)
    )
    for again in copies:
        rows += f" UNION ALL SELECT {again}, TIMESTAMP '2026-03-01 12:00:00+00'"
    rows = rows if connection.vendor == "postgresql" else rows.replace("TIMESTAMP ", "")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE VIEW work_loose AS {rows}")
    with registered(dataset_of(Loose.objects.all, [Column("key", "Key", ColumnType.INTEGER)], "at")):
        export = run(ada, key, dataset="things")
    assert export.state == State.FAILED
    assert "choose a unique key" in export.error_detail
    assert "key" not in export.error_message


def test_a_repeated_key_at_the_end_of_a_page_is_detected(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "CHUNK", 3)
    orders = [order(ada, number) for number in range(3)]

    class Twice(list[Any]):
        db = "default"

        def filter(self, **_: Any) -> Twice:
            return Twice()

    rows = [(one.pk,) for one in orders] + [(orders[-1].pk,)]
    with pytest.raises(DatasetFailed) as failed:
        list(source._by_key(Twice(rows), lambda row: row[0], 3))  # type: ignore[arg-type]
    assert "more than once" in str(failed.value.__cause__)


@pytest.mark.parametrize("key", FORMATS)
def test_an_average_is_exported_in_every_format(shop: None, ada: User, key: str) -> None:
    columns = [
        NAME,
        Column("mean", "Mean", ColumnType.FLOAT, source=Avg("orders__quantity", filter=Q(orders__quantity__gt=0))),
    ]
    with registered(dataset_of(User.objects.all, columns, "date_joined")):
        export = run(ada, key, dataset="things")
    assert (export.state, export.rows) == (State.READY, 3), export.error_detail


@pytest.mark.django_db(transaction=True)
def test_a_database_error_is_shown_to_operators_and_not_retried(ada: User) -> None:
    order(ada, 1)

    class Missing(models.Func):
        function = "no_such_function"
        output_field: ClassVar[Any] = models.IntegerField()

    columns = [Column("broken", "Broken", ColumnType.INTEGER, source=Missing(F("quantity")))]
    with registered(dataset_of(Order.objects.all, columns, "placed_at")):
        export = run(ada, "csv", dataset="things")
    assert (export.state, export.error_code, export.attempt) == (State.FAILED, "dataset_failed", 1)
    assert "no_such_function" in export.error_detail
    assert "no_such_function" not in export.error_message


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("date", "date"), ("username", "CharField"), ("orders__nothing", "nothing"), ("orders__placed_at", "orders"),
    ],
)  # fmt: skip
def test_an_invalid_date_field_is_refused(ada: User, field: str, word: str) -> None:
    with registered(dataset_of(User.objects.all, [NAME], field)):
        with pytest.raises(UnfitDataset) as refused:
            run(ada, "csv", dataset="things")
        [fault] = checks.check_datasets()
    assert word in str(refused.value.__cause__)
    assert word in fault.msg


def test_an_unknown_field_in_the_request_raises_unknown_field(ada: User) -> None:
    dataset = dataset_of(Order.objects.all, [Column("number", "Number")], "placed_at")
    with registered(dataset), pytest.raises(UnknownField):
        run(ada, "csv", dataset="things", fields=["nothing"])
