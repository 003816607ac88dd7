"""Every way to define a dataset gives the same kind of export: declared fields, groups, and rows of the site's code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, F, Model, QuerySet, Sum
from django.db.models.functions import ExtractYear, TruncMonth
from django.utils.translation import gettext_lazy

from exports import checks
from exports.datasets import (
    AUTO,
    EVERYBODY,
    Column,
    ColumnType,
    Dataset,
    KeyRange,
    Money,
    RowsDataset,
    Selection,
    mappings,
)
from exports.demo.models import Customer, Order, Status
from exports.errors import DatasetFailed
from exports.forecast.estimates import estimate_request
from exports.forecast.progress import progress_of
from exports.formats import formats
from exports.intake.choices import ExportRequest
from exports.models import Export
from exports.models.period import Period
from exports.states import State
from tests.support.exports import ask, registered, run, step
from tests.support.shop import orders
from tests.support.specimens import tables
from tests.work.models import Dossier, Level

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
EVERY = pytest.mark.parametrize("key", [kind.key for kind in formats])


def faults_of(kind: type[Dataset]) -> list[str]:
    """Return what manage.py check finds in a dataset, as errors."""
    with registered(kind):
        return [found.msg for found in checks.check_datasets() if found.id == "exports.E007" and found.obj is kind]


def rows_of(kind: type[Dataset], user: User) -> list[tuple[Any, ...]]:
    dataset, selection = kind(), Selection(user)
    ranges: list[KeyRange | None] = [*dataset.key_ranges(selection, 2)]
    columns = dataset.choose([])
    return [row for keys in ranges or [None] for row in dataset.source(selection, columns, keys)]


def dossier(owner: User, title: str, **more: Any) -> Dossier:
    return Dossier.objects.create(owner=owner, title=title, **more)


def names(kind: type[Dataset]) -> list[str]:
    return [column.name for column in kind().columns]


# --- declared -------------------------------------------------------------------------------------------------------


class Dossiers(Dataset):
    model: ClassVar[type[Model] | None] = Dossier
    owner: ClassVar[Any] = "owner"
    columns = AUTO


def test_the_minimal_dataset_exports_all_fields(ada: User, bob: User) -> None:
    dossier(ada, "a", site="https://a.example/?a=1", facts={"a": [1, None]}, deputy=bob, password="hash")
    dossier(bob, "b")
    assert faults_of(Dossiers) == []
    with registered(Dossiers):
        [row] = next(iter(tables(run(ada, "jsonl", dataset="dossiers")).values()))
    assert list(row) == [
        "id", "deputy_id", "title", "level", "uid", "address", "content", "facts", "site", "mail", "scan", "opened_at",
    ]  # fmt: skip
    assert (row["title"], row["facts"], row["deputy_id"], row["level"]) == ("a", {"a": [1, None]}, bob.pk, 1)


def test_defaults_of_the_key_and_the_label() -> None:
    class OrderLines(Dossiers):
        pass

    class HTMLPages(RowsDataset):
        columns = (Column("a", "A"),)

        def rows(self, selection: Selection) -> Iterable[Mapping[str, Any]]:
            return []

    class Named(Dossiers):
        key, label = "given", gettext_lazy("Given")

    assert [(kind().key, str(kind().label)) for kind in (Dossiers, OrderLines, HTMLPages, Named)] == [
        ("dossiers", "Dossiers of the house"),
        ("order-lines", "Dossiers of the house"),
        ("html-pages", "HTML pages"),
        ("given", "Given"),
    ]
    assert Dossiers.key == "dossiers"


def test_columns_take_label_type_and_choices_from_their_field() -> None:
    class Named(Dossiers):
        columns: ClassVar[Sequence[Any]] = (
            "title", "level", "deputy", "owner__email", "opened_at__year", "facts__size",
            Column("sum", source="level", type=ColumnType.INTEGER),
            Column("year", source=ExtractYear("opened_at")),
            Column("title_too", gettext_lazy("Given"), source="title"),
            Money("fee", source=F("level") * Decimal(2), currency="mail"), Money("tax", source="level", currency="EUR"),
        )  # fmt: skip

    dataset = Named()
    assert dataset.columns is dataset.columns
    assert dataset.unresolved == ()
    found = {column.name: (str(column.label), column.type) for column in dataset.columns}
    assert found == {
        "title": ("Name of the dossier", ColumnType.TEXT),
        "level": ("Level", ColumnType.CHOICE),
        "deputy_id": ("Deputy", ColumnType.INTEGER),
        "owner__email": ("Email address", ColumnType.EMAIL),
        "opened_at__year": ("Opened at year", ColumnType.INTEGER),
        "facts__size": ("Facts size", ColumnType.JSON),
        "sum": ("Level", ColumnType.INTEGER),
        "year": ("Year", ColumnType.INTEGER),
        "title_too": ("Given", ColumnType.TEXT),
        "fee": ("Fee", ColumnType.MONEY),
        "tax": ("Level", ColumnType.MONEY),
    }
    assert dataset.choose(["level"])[0].words == {1: "Open", 2: "Secret"}
    assert [dataset.choose([name])[0].currency for name in ("fee", "tax")] == [F("mail"), "EUR"]


def test_auto_leaves_out_the_owner_passwords_exclusions_and_fields_that_are_named() -> None:
    class Short(Dossiers):
        exclude = ("content", "deputy_id")
        columns: ClassVar[Sequence[Any]] = (
            Column("title", "Title"),
            *AUTO,
            Column("n", "N", ColumnType.INTEGER, function=lambda row: 1),
        )

    assert names(Short) == [
        "title", "id", "level", "uid", "address", "facts", "site", "mail", "scan", "opened_at", "n",
    ]  # fmt: skip


class Own(Dossiers):
    """The users themselves."""

    model, owner = User, "pk"
    columns = ("username",)


class Shared(Dossiers):
    owner = ("owner", "deputy", "readers")
    columns = ("title",)


class Public(Dossiers):
    owner = EVERYBODY
    columns = ("title",)


class Managed(Dossiers):
    columns = ("title",)

    def queryset(self, user: Any) -> QuerySet[Any]:
        return super().queryset(user).filter(level=Level.SECRET)


def test_owners(ada: User, bob: User) -> None:
    eve = User.objects.create_user("eve")
    one, two, three = dossier(ada, "one", deputy=bob), dossier(bob, "two", level=Level.SECRET), dossier(bob, "three")
    three.readers.set([ada, bob, eve])
    one.readers.set([ada, bob])
    assert [[row[0] for row in rows_of(Shared, user)] for user in (ada, bob, eve)] == [
        ["one", "three"], ["one", "two", "three"], ["three"],
    ]  # fmt: skip
    assert rows_of(Public, eve) == [("one",), ("two",), ("three",)]
    assert rows_of(Own, bob) == [("bob",)]
    assert rows_of(Managed, bob) == [("two",)]
    assert two.pk
    assert faults_of(Shared) == faults_of(Public) == faults_of(Own) == faults_of(Managed) == []


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name": ({"columns": ("titel",)}, "Dossier has no field 'titel'. Did you mean 'title'?"),
    "a name on the way": ({"columns": ("owner__emial",)}, "User has no field 'emial'. Did you mean 'email'?"),
    "a source": ({"columns": (Column("x", "X", source="sight"),)}, "has no field 'sight'. Did you mean 'site'?"),
    "a relation of many": ({"columns": ("readers",)}, "'readers' is a relation: name one of its fields"),
    "a field of many": ({"columns": ("readers__email",)}, "reads readers, of which a row may have many"),
    "a function": (
        {"columns": (Column("x", function=str),)},
        """because it comes from a function: give it, as in Column("x", "X", ColumnType.TEXT).""",
    ),
    "an exclusion": ({"exclude": ("contents",)}, "exclude has 'contents', which is no field of Dossier. Did you"),
    "an owner": ({"owner": "ovner"}, "owner is 'ovner', which cannot be followed: Dossier has no field"),
    "an owner that is text": ({"owner": "title"}, "owner is 'title', which is no relation to User"),
    "a key of another model": ({"owner": "pk"}, "owner is 'pk', which is no relation to User"),
    "an owner of another kind": (
        {"model": Order, "owner": "owner__customer"}, "to Customer, not to User. Did you mean 'owner__customer__user'",
    ),
    "no owner at all": ({"owner": ()}, "owner is empty"),
    "an owner beyond a field": ({"owner": "title__user"}, "'title' is no relation: stop there"),
    "a date": ({"date_field": "opend_at"}, "Did you mean 'opened_at'"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_the_check_names_what_is_wrong_and_what_to_write(wrong: str) -> None:
    attributes, words = WRONG[wrong]
    found = faults_of(type("Dossiers", (Dossiers,), attributes))
    assert any(words in fault for fault in found), found


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "lacks columns: .* and lacks a model"),
        ({"model": Dossier, "columns": AUTO}, "does not say whose rows it has: set owner"),
    ],
)
def test_a_definition_without_rows_is_refused_at_registration(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        type("Bare", (Dataset,), attributes)()


def test_names_that_need_a_model_are_refused_without_one() -> None:
    class Bare(Dataset):
        columns: ClassVar[Sequence[Any]] = ("title", *AUTO)

        def queryset(self, user: Any) -> QuerySet[Any]:
            return Dossier.objects.all()

    first, second = faults_of(Bare)
    assert "has no model to be taken from" in first
    assert "AUTO, which needs the model" in second


# --- groups ---------------------------------------------------------------------------------------------------------


class Sales(Dataset):
    model, date_field = Order, "placed_at"
    columns: ClassVar[Sequence[Any]] = (
        "status",
        "owner__customer__company",
        Column("n", "Orders", ColumnType.INTEGER),
        Money("sum", "Sum", currency="currency", total=True),
    )

    def queryset(self, user: Any) -> QuerySet[Any]:
        groups = Order.objects.filter(owner=user).values("status", "owner__customer__company", "currency")
        return groups.annotate(sum=Sum("total"), n=Count("pk")).order_by("-n")


@pytest.fixture
def sales(ada: User, bob: User) -> None:
    for user in (ada, bob):
        Customer.objects.create(user=user, company=f"{user} & Söhne", country="DE", time_zone="UTC")
    orders(ada, 5)
    orders(ada, 2, placed_at=datetime(2026, 3, 1, tzinfo=UTC))
    orders(bob, 7)
    Order.objects.filter(owner=ada, number="000001").update(status=Status.CANCELLED)


@EVERY
def test_groups_in_every_format(ada: User, sales: None, key: str) -> None:
    assert faults_of(Sales) == []
    with registered(Sales):
        export = run(ada, key, dataset="sales", inside=["csv", "pdf"] if key == "zip" else [])
    assert (export.state, export.rows) == (State.READY, 4 if key == "zip" else 2), export.error_detail
    for name, rows in tables(export).items():
        assert [next(iter(row.values())).casefold() for row in rows] == ["cancelled", "paid"]
        counts = [int(row["Orders" if name.endswith(("csv", "xlsx")) else "n"]) for row in rows]
        assert counts == [2, 5]


def test_groups_of_a_period_have_its_rows_only(ada: User, sales: None) -> None:
    with registered(Sales):
        dataset = Sales()
        period = Period(None, datetime(2026, 2, 1, tzinfo=UTC))
        found = [row[:3] for row in dataset.source(Selection(ada, period), dataset.choose([]), None)]
        assert found == [("cancelled", "ada & Söhne", 1), ("paid", "ada & Söhne", 4)]
        estimate = estimate_request(ada, ExportRequest(dataset="sales", format="csv", period="all"))
    assert estimate.rows is not None
    assert estimate.rows.number == 2


def test_groups_by_an_expression_are_in_its_order(ada: User, sales: None) -> None:
    class Months(Sales):
        columns = (Column("month", "Month", ColumnType.DATETIME), Column("n", "N", ColumnType.INTEGER))

        def queryset(self, user: Any) -> QuerySet[Any]:
            months = Order.objects.filter(owner=user).annotate(month=TruncMonth("placed_at")).values("month")
            return months.annotate(n=Count("pk")).order_by("-month")

    assert faults_of(Months) == []
    assert [(row[0].month, row[1]) for row in rows_of(Months, ada)] == [(1, 5), (3, 2)]


def test_a_wrong_type_in_groups_is_found_by_the_check(ada: User) -> None:
    class Wrong(Sales):
        columns = (Column("n", "N", ColumnType.DATE),)

    [fault] = faults_of(Wrong)
    assert "'n' is DATE, but its values come from a" in fault


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("place_at", "Order has no field 'place_at'. Did you mean 'placed_at'?"),
        ("owner__invoices__month", "date_field reads invoices, of which a row may have many"),
        ("number", "date_field is 'number', a CharField"),
    ],
)
def test_a_wrong_date_of_groups_is_found_by_the_check(path: str, words: str) -> None:
    [fault] = faults_of(type("Sales", (Sales,), {"date_field": path}))
    assert words in fault


# --- rows of the site's code ----------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Bookings(RowsDataset):
    label = "Bookings"
    date_field: ClassVar[str | None] = "booked_at"
    columns: ClassVar[Sequence[Column]] = (
        Column("number", "Number", ColumnType.INTEGER),
        Column("booked_at", "Booked", ColumnType.DATETIME),
        Money("price", "Price", currency="coin", total=True),
        Column("tags", "Tags", ColumnType.LIST),
        Column("guest", "Guest", function=lambda row: row["guest"].upper()),
        Column("nothing", "Nothing", ColumnType.NULL),
    )
    count = 5
    calls: ClassVar[list[Selection]] = []

    def rows(self, selection: Selection) -> Iterator[Mapping[str, Any]]:
        self.calls.append(selection)
        for number in range(self.count):
            booked_at = NOON + timedelta(days=number)
            yield {
                "number": number, "booked_at": booked_at, "price": 1.5, "coin": "EUR", "tags": [number],
                "guest": selection.owner.username,
            }  # fmt: skip


@EVERY
def test_plain_rows_in_every_format(ada: User, key: str) -> None:
    assert faults_of(Bookings) == []
    with registered(Bookings):
        export = run(ada, key, dataset="bookings", inside=["jsonl", "xlsx"] if key == "zip" else [])
    assert (export.state, export.rows) == (State.READY, 10 if key == "zip" else 5), export.error_detail
    for rows in tables(export).values():
        assert [int(next(iter(row.values()))) for row in rows] == [0, 1, 2, 3, 4]
        assert "ADA" in rows[0].values()


def test_plain_rows_are_those_of_the_period(ada: User) -> None:
    dataset, second = Bookings(), NOON + timedelta(days=2)

    def numbers(period: Period) -> list[int]:
        return [row[0] for row in dataset.source(Selection(ada, period), dataset.choose([]), None)]

    assert numbers(Period(second, None)) == [2, 3, 4]
    assert numbers(Period(None, second)) == [0, 1]
    assert numbers(Period(None, None, asked_at=second)) == [0, 1]
    assert Bookings.calls[-1].period.asked_at == second


@pytest.mark.parametrize("when", [date(2026, 3, 1), None])
def test_days_and_rows_without_a_date(ada: User, when: date | None) -> None:
    class Days(Bookings):
        columns = (Column("day", "Day", ColumnType.DATE),)
        date_field = "day"

        def rows(self, selection: Selection) -> Iterator[Mapping[str, Any]]:
            yield {"day": when}

    dataset = Days()
    first, second = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    periods = [Period(first, second), Period(second, None), Period()]
    counts = [len(list(dataset.source(Selection(ada, each), dataset.choose([]), None))) for each in periods]
    assert counts == ([1, 0, 1] if when else [0, 0, 1])


def test_a_period_without_dates_is_refused(ada: User) -> None:
    dataset = type("Bookings", (Bookings,), {"date_field": None})()
    source = dataset.source(Selection(ada, Period(NOON, None)), dataset.choose([]), None)
    with pytest.raises(Exception, match="has no dates to choose a period by"):
        list(source)


def test_progress_of_plain_rows_has_no_total(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with registered(Bookings):
        export = ask(ada, "csv", dataset="bookings")
        step("plan_export", export.pk)
        export.refresh_from_db()
        assert (export.state, export.rows, export.is_small) == (State.RENDERING, None, False)
        part = export.parts.get()
        part.rows_done = 3
        part.save()
        progress = progress_of(export)
        assert (progress.rows_done, progress.rows_total, progress.share, progress.seconds_left) == (3, None, None, None)
        assert estimate_request(ada, ExportRequest(dataset="bookings", format="csv", period="all")).rows is None


BAD: dict[str, tuple[Any, str]] = {
    "a missing key": (
        {"numbre": 1}, "row 2 has no “number” for the column “Number”. It may be None. Did you mean 'numbre'?",
    ),
    "another type": ({"number": "many"}, "“Number” is declared as INTEGER, but holds many (str) in the row 2"),
    "no mapping": ((1,), "The row 2 is a tuple: rows() must yield dictionaries."),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_errors_name_the_row_by_its_number_and_the_column(ada: User, bad: str) -> None:
    row, words = BAD[bad]

    class Bad(Bookings):
        key, date_field = "bad", None
        columns = (Column("number", "Number", ColumnType.INTEGER),)

        def rows(self, selection: Selection) -> Iterator[Any]:
            yield {"number": 1}
            yield row

    with registered(Bad):
        export = run(ada, "csv", dataset="bad")
    assert (export.state, export.error_code) == (State.FAILED, "dataset_failed")
    assert words in export.error_message


def test_an_error_in_a_function_names_the_row(ada: User) -> None:
    class Bad(Bookings):
        columns = (Column("x", "Half", ColumnType.FLOAT, function=lambda row: 1 / (row["number"] - 2)),)

    dataset = Bad()
    with pytest.raises(DatasetFailed, match="“Half” could not be computed for the row 3"):
        list(dataset.source(Selection(ada), dataset.choose([]), None))


def test_a_service_that_does_not_answer_is_tried_again(ada: User) -> None:
    attempts = []

    class Away(Bookings):
        def rows(self, selection: Selection) -> Iterator[Mapping[str, Any]]:
            attempts.append(1)
            yield from super().rows(selection)
            if len(attempts) == 1:
                raise ConnectionResetError("by the peer")

    with registered(Away):
        export = ask(ada, "csv", dataset="away")
        step("plan_export", export.pk)
        part = export.parts.get()
        step("render_part", part.pk)
        part.refresh_from_db()
        assert (part.error_code, part.next_attempt_at is None) == ("source_away", False)
        type(part).objects.update(next_attempt_at=NOON)
        step("render_part", part.pk)
        export.refresh_from_db()
    assert export.state == State.ASSEMBLING
    assert len(attempts) == 2


def test_an_expression_as_a_source_is_refused() -> None:
    kind = type("Bookings", (Bookings,), {"columns": (Column("x", "X", source=F("a") + 1),)})
    assert "has an expression as its source" in faults_of(kind)[0]


def test_plain_rows_are_read_with_flat_memory(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most two pages are held at any time."""
    monkeypatch.setattr(mappings, "CHUNK", 10)
    alive: set[int] = set()
    most = []

    class Row(dict[str, Any]):
        def __init__(self, number: int) -> None:
            super().__init__(number=number)
            alive.add(number)
            most.append(len(alive))

        def __del__(self) -> None:
            alive.discard(self["number"])

    class Many(Bookings):
        date_field = None
        columns = (Column("number", "Number", ColumnType.INTEGER),)

        def rows(self, selection: Selection) -> Iterator[Mapping[str, Any]]:
            return map(Row, range(1_000))

    dataset = Many()
    source = dataset.source(Selection(ada), dataset.choose([]), None)
    assert [row[0] for row in source] == list(range(1_000))
    assert source.read == 1_000
    assert max(most) <= 21


def test_a_retry_and_each_file_read_the_rows_again(ada: User) -> None:
    with registered(Bookings):
        Bookings.calls.clear()
        export = run(ada, "xlsx", dataset="bookings")
        assert export.state == State.READY
    assert len(Bookings.calls) == 2, "once for the sample, once for the file"
    assert isinstance(Bookings.calls[0], Selection)
    assert Export.objects.get().rows == 5
