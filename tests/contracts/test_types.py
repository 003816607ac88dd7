"""A column has its declared type in every format, on both databases, and in both lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import time, timedelta
from decimal import Decimal
from io import BytesIO
from operator import attrgetter
from typing import Any

import duckdb
import polars as pl
import pytest
from django.contrib.auth.models import User
from django.db.models import Avg, Count, Subquery, Sum, TextChoices, Value
from pyarrow import parquet

from exports.datasets import Column, ColumnType
from exports.errors import UnfitDataset, UnknownField
from exports.formats import formats
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.states import State
from tests.support import pdf
from tests.support.exports import registered, run
from tests.support.shop import orders
from tests.support.specimens import DESCRIPTIONS, Specimens, collect, exported, files_of, tables
from tests.support.tables import READERS
from tests.work.models import Specimen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]

KEYS = [kind.key for kind in formats]
EVERY = pytest.mark.parametrize("key", KEYS)
TABLES = pytest.mark.parametrize("key", [key for key in KEYS if key != "pdf"])
NAME = Column("name", "name")


def computed(column: Column) -> Column:
    """Return the same column, computed in Python."""
    return Column(column.name, column.label, column.type, function=attrgetter(str(column.source or column.name)))


def file_of(export: Export) -> bytes:
    (content,) = files_of(export).values()
    return content


# --- declared types -------------------------------------------------------------------------------------------------

FLOATS = [10.0, 6.665, 5.5566, 0.1 + 0.2, 1 / 3, 1e-7, 1e300, -0.5, None]
RATIO = Column("ratio", "ratio", ColumnType.FLOAT)
BOTH = pytest.mark.parametrize("column_of", [lambda column: column, computed], ids=["by the database", "by Python"])
ColumnOf = Callable[[Column], Column]


def collect_floats() -> None:
    collect({f"{place}": {"ratio": value} for place, value in enumerate(FLOATS)})


@TABLES
@BOTH
def test_floats_round_trip(ada: User, key: str, column_of: ColumnOf) -> None:
    collect_floats()
    for rows in tables(exported(ada, key, (NAME, column_of(RATIO)))).values():
        found = [None if row["ratio"] in (None, "") else float(row["ratio"]) for row in rows]
        assert found == FLOATS


@TABLES
@BOTH
def test_decimals_of_floats_have_the_shortest_digits(ada: User, key: str, column_of: ColumnOf) -> None:
    """The digits are the fewest that give the same float, such as 0.1."""
    collect_floats()
    column = column_of(Column("ratio", "ratio", ColumnType.DECIMAL))
    for rows in tables(exported(ada, key, (NAME, column))).values():
        found = [None if row["ratio"] in (None, "") else Decimal(str(row["ratio"])) for row in rows]
        assert found == [None if value is None else Decimal(repr(value)) for value in FLOATS]


AVERAGES: dict[str, Any] = {
    "of whole numbers": Avg("whole"),
    "of decimals": Avg("number"),
    "of floats": Avg("ratio"),
}


@TABLES
@pytest.mark.parametrize("average", AVERAGES)
def test_averages_declared_float_are_floats(ada: User, key: str, average: str) -> None:
    collect({name: {"whole": whole, "number": whole, "ratio": whole} for name, whole in [("a", 1), ("b", 2), ("c", 2)]})
    every = Specimen.objects.order_by().annotate(one=Value(1)).values("one")
    column = Column("average", "average", ColumnType.FLOAT, Subquery(every.annotate(a=AVERAGES[average]).values("a")))
    for name, rows in tables(exported(ada, key, (NAME, column))).items():
        assert [float(row["average"]) for row in rows] == [pytest.approx(5 / 3, rel=1e-15)] * 3
        if name.endswith(".parquet"):
            assert {type(row["average"]) for row in rows} == {float}


@TABLES
def test_sums_and_counts_have_their_declared_types(ada: User, key: str) -> None:
    """In PostgreSQL, a sum of 64-bit integers is a NUMERIC."""
    collect({name: {"whole": 2**60, "number": Decimal("0.1")} for name in "abc"})
    every = Specimen.objects.order_by().annotate(one=Value(1)).values("one")
    columns = (
        NAME,
        Column("sum", "sum", ColumnType.INTEGER, Subquery(every.annotate(a=Sum("whole")).values("a"))),
        Column("count", "count", ColumnType.INTEGER, Subquery(every.annotate(a=Count("pk")).values("a"))),
        Column("money", "money", ColumnType.DECIMAL, Subquery(every.annotate(a=Sum("number")).values("a"))),
    )
    for rows in tables(exported(ada, key, columns)).values():
        assert [(int(row["sum"]), int(row["count"]), Decimal(str(row["money"]))) for row in rows] == [
            (3 * 2**60, 3, Decimal("0.3"))
        ] * 3


@pytest.mark.parametrize("key", ["json", "jsonl"])
@BOTH
def test_numbers_and_booleans_in_a_column_of_text_are_text(ada: User, key: str, column_of: ColumnOf) -> None:
    collect({"a": {"whole": 5, "number": Decimal("1.5"), "truth": True, "ratio": 0.5}, "b": {}})
    columns = tuple(column_of(Column(name, name)) for name in ("whole", "number", "truth", "ratio"))
    first, second = tables(exported(ada, key, (NAME, *columns))).popitem()[1]
    assert [first[name] for name in ("whole", "truth", "ratio")] == ["5", "true", "0.5"]
    assert (type(first["number"]), Decimal(first["number"])) == (str, Decimal("1.5"))
    assert set(second.values()) == {"b", None}


def test_text_of_any_type_is_the_same_in_both_lanes(ada: User) -> None:
    """PostgreSQL and Python convert values to the same text."""
    collect({"a": {"whole": -5, "number": Decimal("-0.50"), "truth": False, "ratio": 1e22, "opens": time(9, 30)}})
    collect({"b": {"day": "0999-12-31", "moment": "2026-03-01T12:00:00.5Z", "length": timedelta(minutes=-90)}})
    columns = [Column(field.name, field.name) for field in Specimen._meta.fields if field.name not in ("id", "made_at")]
    for key in ("csv", "jsonl"):
        one, other = [file_of(exported(ada, key, tuple(map(lane, columns)))) for lane in (lambda each: each, computed)]
        assert one == other


# --- Parquet --------------------------------------------------------------------------------------------------------

WIDE = [
    Column("number", "number", ColumnType.DECIMAL),  # 40 digits
    RATIO,
    Column("length", "length", ColumnType.DURATION),
    Column("opens", "opens", ColumnType.TIME),
    Column("whole", "whole", ColumnType.INTEGER),
]


@BOTH
def test_other_readers_read_parquet_with_its_types(ada: User, column_of: ColumnOf, tmp_path: Any) -> None:
    values = {
        "ratio": 1 / 3,
        "length": timedelta(days=-1, microseconds=1),
        "opens": time(9, 30, 0, 5),
        "whole": -(2**63),
    }
    collect({"a": values, "b": {}})
    stored = Decimal(5) / 2
    Specimen.objects.filter(name="a").update(number=stored)
    columns = tuple(map(column_of, WIDE))
    content = file_of(exported(ada, "parquet", columns))
    (path := tmp_path / "a.parquet").write_bytes(content)

    expected = {"number": "2.5000000000", **values}
    found = pl.read_parquet(BytesIO(content)).to_dicts()
    assert found == [{**expected, "number": found[0]["number"]}, dict.fromkeys(expected)]
    assert (type(found[0]["number"]), Decimal(found[0]["number"])) == (str, stored)

    [row, empty] = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    microseconds = timedelta(days=-1, microseconds=1) // timedelta(microseconds=1)
    assert row[1:] == (1 / 3, microseconds, time(9, 30, 0, 5), -(2**63))
    assert set(empty) == {None}
    types = [str(field.type) for field in parquet.read_schema(BytesIO(content))]
    assert types == ["string", "double", "duration[us]", "time64[us]", "int64"]


def test_decimals_of_up_to_38_digits_are_decimals(ada: User) -> None:
    orders(ada, 2)
    content = file_of(run(ada, "parquet", dataset="orders", period="all"))
    assert [str(parquet.read_schema(BytesIO(content)).field(name).type) for name in ("unit_price", "total")] == [
        "decimal128(12, 2)",
        "decimal128(14, 2)",
    ]
    assert pl.read_parquet(BytesIO(content))["total"].to_list() == [Decimal("3.00")] * 2


def test_the_type_of_a_column_does_not_depend_on_its_values(ada: User) -> None:
    """Regression test: the first rows determined the type, and later rows then failed."""
    schemas = []
    for values in ({}, {"ratio": 0.5, "whole": 1, "number": 1}):
        collect({"a": values})
        content = file_of(exported(ada, "parquet", tuple(WIDE)))
        schemas.append(parquet.read_schema(BytesIO(content)))
    assert schemas[0] == schemas[1]


# --- refused values -------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[ColumnType, Callable[[Specimen], Any], str]] = {
    "a fraction": (ColumnType.INTEGER, lambda row: 1.5 if row.name == "bad" else 1, "1.5"),
    "a text": (ColumnType.DECIMAL, lambda row: "12 USD" if row.name == "bad" else 12, "12 USD"),
    "a manager": (ColumnType.TEXT, lambda row: User.objects if row.name == "bad" else "", "Join its items"),
    "a queryset": (ColumnType.TEXT, lambda row: User.objects.all() if row.name == "bad" else "", "Join its items"),
    "an object": (ColumnType.TEXT, lambda row: object() if row.name == "bad" else "", "__str__"),
    "a naive date-time": (ColumnType.DATETIME, lambda row: row.made_at.replace(tzinfo=None), "make_aware"),
}


@EVERY
@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_of_another_type_fails_the_export_with_row_and_column(ada: User, key: str, wrong: str) -> None:
    kind, function, words = WRONG[wrong]
    collect({"good": {}, "bad": {}})
    if wrong == "a naive date-time":
        Specimen.objects.filter(name="good").delete()
    export = exported(ada, key, (NAME, Column("shown", "Shown", kind, function=function)))
    assert (export.state, export.error_code) == (State.FAILED, "dataset_failed")
    assert "“Shown”" in export.error_message
    assert f"in the row {Specimen.objects.get(name='bad').pk}" in export.error_message
    assert words in export.error_message
    assert not export.artifact
    assert max([export.attempt, *export.parts.values_list("attempt", flat=True)]) == 1, "a retry cannot help"


def test_a_stored_value_of_another_type_is_refused(ada: User) -> None:
    """The check also covers values that come from the database."""
    collect({"good": {"ratio": 2.0}, "bad": {"ratio": 2.5}})
    export = exported(ada, "csv", (NAME, Column("ratio", "Ratio", ColumnType.INTEGER)))
    assert export.state == State.FAILED
    assert f"in the row {Specimen.objects.get(name='bad').pk}" in export.error_message


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("text", ColumnType.INTEGER),
        ("moment", ColumnType.DATE),
        ("day", ColumnType.DATETIME),
        ("ratio", ColumnType.TIME),
    ],
)
def test_a_type_that_does_not_fit_its_field_is_refused_at_the_request(ada: User, source: str, kind: ColumnType) -> None:
    columns = (NAME, Column("shown", "Shown", kind, source))
    with registered(type("Specimens", (Specimens,), {"columns": columns})), pytest.raises(UnfitDataset) as refused:
        request_export(ada, ExportRequest(dataset="specimens", format="csv", period="all"))
    assert f"'shown' is {kind.name}" in refused.value.detail
    assert not Export.objects.exists()


# --- choices --------------------------------------------------------------------------------------------------------


class Carrier(TextChoices):
    VINYL = "vinyl", "Vinyl"
    CD = "cd", "Compact disc"

    __empty__ = "(Nothing)"


CHOICES: dict[str, Any] = {
    "an enumeration": Carrier,
    "pairs": [("vinyl", "Vinyl"), ("cd", "Compact disc")],
    "groups": [("Audio", [("vinyl", "Vinyl"), ("cd", "Compact disc")]), (None, "(Nothing)")],
    "a mapping": {"vinyl": "Vinyl", "cd": "Compact disc", None: "(Nothing)"},
    "mappings": {"Audio": {"vinyl": "Vinyl"}, "More": {"cd": "Compact disc"}},
    "a function": lambda: {"vinyl": "Vinyl", "cd": "Compact disc"},
    "a generator": [("vinyl", "Vinyl"), ("cd", "Compact disc")],
}
IN_WORDS, STORED_AS = ["Vinyl", "Compact disc", None, "tape"], ["vinyl", "cd", None, "tape"]


@EVERY
@BOTH
@pytest.mark.parametrize("choices", CHOICES)
def test_choices_of_every_form(ada: User, key: str, choices: str, column_of: ColumnOf) -> None:
    """Formats for people show labels, formats for programs stored values. None is empty in all of them."""
    collect({f"{place}": {"text": text} for place, text in enumerate(STORED_AS)})
    plain = column_of(Column("text", "text", ColumnType.CHOICE))
    chosen = iter(CHOICES[choices]) if choices == "a generator" else CHOICES[choices]
    column = Column("text", "text", ColumnType.CHOICE, plain.source, choices=chosen, function=plain.function)
    export = exported(ada, key, (NAME, column))
    for name, rows in tables(export).items():
        found = [row["text"] or None for row in rows]
        assert found == (IN_WORDS if name.endswith((".csv", ".xlsx")) else STORED_AS)
    for name, content in files_of(export).items():
        if name.endswith(".pdf"):
            text = pdf.pages(content)[0].text
            assert all(word in text for word in ("Vinyl", "Compact disc", "tape"))
            assert "Nothing" not in text


@TABLES
@BOTH
def test_choices_of_numbers_and_booleans(ada: User, key: str, column_of: ColumnOf) -> None:
    collect({"a": {"whole": 1, "truth": True}, "b": {"whole": 7, "truth": False}, "c": {}})
    columns = [
        Column("whole", "whole", ColumnType.CHOICE, choices={1: "One", 2: "Two"}),
        Column("truth", "truth", ColumnType.CHOICE, choices=[(True, "On"), (False, "Off")]),
    ]
    columns = [
        Column(each.name, each.label, each.type, choices=each.choices, function=column_of(each).function)
        for each in columns
    ]
    for name, rows in tables(exported(ada, key, (NAME, *columns))).items():
        found = [(row["whole"], row["truth"]) for row in rows]
        if name.endswith((".csv", ".xlsx")):
            assert [(str(one), other) for one, other in found[:2]] == [("One", "On"), ("7", "Off")]
            assert {each or None for each in found[2]} == {None}
        else:
            assert found == [(1, True), (7, False), (None, None)]


# --- names ----------------------------------------------------------------------------------------------------------

MONEY = Column("number", "Number", ColumnType.MONEY, currency="EUR")
CLASHES: dict[str, Sequence[Column]] = {
    "an amount and its currency": (MONEY, Column("number_currency", "Currency", source="text")),
    "in another order": (Column("number_currency", "Currency", source="text"), MONEY),
    "in capitals": (Column("whole", "Whole", ColumnType.INTEGER), Column("Whole", "Whole", source="text")),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_two_columns_with_the_same_name_are_refused_if_both_are_chosen(ada: User, clash: str) -> None:
    columns = CLASHES[clash]
    with registered(type("Specimens", (Specimens,), {"columns": columns})):
        with pytest.raises(UnknownField, match="would have the same name in the file") as refused:
            request_export(ada, ExportRequest(dataset="specimens", format="json", period="all"))
        assert refused.value.field == "fields"
        request_export(ada, ExportRequest(dataset="specimens", format="json", period="all", fields=[columns[0].name]))


@EVERY
def test_headings_need_not_be_unique(ada: User, key: str) -> None:
    """Formats that identify columns by name keep both columns."""
    collect({"a": {"whole": 1}})
    columns = (Column("one", "Same", source="name"), Column("other", "Same", ColumnType.INTEGER, "whole"))
    files = files_of(exported(ada, key, columns))
    for name, content in files.items():
        if name.endswith(".csv"):
            assert content.decode() == "Same,Same\r\na,1\r\n"
        elif name.endswith((".json", ".jsonl", ".parquet")) and name not in DESCRIPTIONS:
            assert READERS[name.rpartition(".")[2]](content) == [{"one": "a", "other": 1}]


UNUSUAL_NAMES = ["ship to", "100%", "a.b", "größe", "select", "f1", "_slot0", "number__sum", "'\"", "ｎａｍｅ", "1st"]


@pytest.mark.parametrize("key", ["json", "jsonl", "parquet"])
def test_names_need_not_be_identifiers(ada: User, key: str) -> None:
    collect({"a": {}})
    columns = tuple(Column(name, name, source="name") for name in UNUSUAL_NAMES)
    for rows in tables(exported(ada, key, columns)).values():
        assert rows == [dict.fromkeys(UNUSUAL_NAMES, "a")]
