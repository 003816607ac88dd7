"""datapackage.json: valid by the frictionless package, and its tables read back are the exported rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db.models import QuerySet
from frictionless import Checklist, Package
from pytest_django import Settings

from exports.datasets import Column, ColumnType, Dataset
from exports.formats.zip import format as zips
from tests.support.baskets import Baskets, baskets
from tests.support.bundles import SMALL, Footnotes, Noise, Unpacked, bundle, noise, unpacked
from tests.support.exports import Errands, errands, registered
from tests.support.letters import Letters, letter
from tests.work.models import Errand, Specimen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
MOMENT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
WORDS = {"s": "Small", "l": "Large; very"}


class Typed(Dataset):
    """A column of every type."""

    key, label, date_field = "typed", "Typed", None
    description = "One of each."
    columns: ClassVar[Sequence[Column]] = (
        Column("name", "Size", ColumnType.CHOICE, choices=WORDS),
        Column("text", "=Text"),
        Column("whole", "Whole", ColumnType.INTEGER),
        Column("number", "Price", ColumnType.MONEY, currency="EUR"),
        Column("truth", "Truth", ColumnType.BOOLEAN),
        Column("day", "Day", ColumnType.DATE),
        Column("moment", "When", ColumnType.DATETIME),
        Column("ratio", "Ratio", ColumnType.FLOAT),
        Column("length", "Lasts", ColumnType.DURATION),
        Column("opens", "Opens", ColumnType.TIME),
        Column("nothing", "Nothing", ColumnType.NULL),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Specimen]:
        return Specimen.objects.all()


FULL = {
    "name": "s", "text": 'a "b"; c,\nd', "whole": 2**60, "number": Decimal("12.5"), "truth": True,
    "day": date(2026, 1, 31), "moment": MOMENT, "ratio": 0.1, "length": timedelta(days=1, hours=2, seconds=3),
    "opens": time(9, 30), "made_at": MOMENT,
}  # fmt: skip
EMPTY = {"name": "l", "made_at": MOMENT}


@pytest.fixture(autouse=True)
def _data(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 60, "USER_TIME_ZONE": "tests.support.specimens.home_of"}
    with registered(Typed), registered(Errands), registered(Noise), registered(Letters), registered(Footnotes):
        yield


def package_of(found: Unpacked, folder: Path) -> Package:
    """Unpack the bundle and return its package. Asserts that it, its files and their tables are valid."""
    for name, data in found.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    package = Package(str(folder / "datapackage.json"))
    for resource in package.resources:
        # It does not count the bytes of JSON that it reads as a table.
        skipped = ["byte-count", "hash-count"] if resource.format == "json" else []
        report = resource.validate(Checklist(skip_errors=skipped))
        assert report.valid, [error.message for task in report.tasks for error in task.errors] or report.errors
    return package


def rows_of(package: Package, name: str) -> list[dict[str, Any]]:
    return [row.to_dict() for row in package.get_resource(name).read_rows()]  # type: ignore[attr-defined]


def specimens() -> None:
    Specimen.objects.bulk_create([Specimen(**FULL), Specimen(**EMPTY)])


EXPECTED = [
    {
        "whole": 2**60, "number": Decimal("12.5"), "truth": True, "day": date(2026, 1, 31), "moment": MOMENT,
        "ratio": 0.1, "length": timedelta(days=1, hours=2, seconds=3), "opens": time(9, 30),
    },
    dict.fromkeys(["whole", "number", "truth", "day", "moment", "ratio", "length", "opens"]),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_json_read_back_equals_the_rows(ada: User, tmp_path: Path, kind: str) -> None:
    specimens()
    package = package_of(unpacked(bundle(ada, ["typed"], [kind])), tmp_path)
    full, empty = rows_of(package, f"typed-{kind}")
    for row, expected in zip((full, empty), EXPECTED, strict=True):
        assert {name: float(row[name]) if name == "ratio" and row[name] else row[name] for name in expected} == expected
    assert (full["name"], full["text"], full["number_currency"]) == ("s", FULL["text"], "EUR")
    assert package.get_resource(f"typed-{kind}").schema.get_field("name").to_descriptor()["categories"] == [
        {"value": "s", "label": "Small"}, {"value": "l", "label": "Large; very"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {}, {"for": "programs"}, {"for": "excel"}, {"for": "excel-europe"}, {"delimiter": "tab"},
        {"for": "excel-europe", "delimiter": "tab"}
    ],
)  # fmt: skip
def test_csv_read_back_equals_the_rows(ada: User, tmp_path: Path, options: dict[str, str]) -> None:
    specimens()
    package = package_of(unpacked(bundle(ada, ["typed"], ["csv"], options=options)), tmp_path)
    rows = [list(row.values()) for row in rows_of(package, "typed-csv")]
    excel, europe = "excel" in options.get("for", ""), options.get("for") == "excel-europe"
    full = list(EXPECTED[0].values())
    full.insert(2, "EUR")
    if excel:  # without zone, as Excel reads it
        full[5] = datetime(2026, 3, 1, 13, 30, 15)
        full[7] = "26:00:03"
    if europe:
        full[8] = "09:30:00"
    assert rows[0][0] == "Small"
    assert rows[0][1] == FULL["text"]
    assert isinstance(rows[0][8], Decimal)
    assert [*rows[0][2:8], float(rows[0][8]), *rows[0][9:-1]] == full
    assert rows[1][2:] == [None, None, "EUR", *[None] * 7]


def test_a_split_table_is_one_resource_where_files_can_be_joined(
    ada: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(zips.SIZES, "50mb", SMALL)
    keys = errands(600)
    found = unpacked(bundle(ada, ["noise"], ["csv", "jsonl", "json"], options={"volume": "50mb"}))
    package = package_of(found, tmp_path)
    expected = [noise(Errand(pk=key)) for key in keys]
    assert [row["Noise"] for row in rows_of(package, "noise-csv")] == expected
    assert [row["noise"] for row in rows_of(package, "noise-jsonl")] == expected
    parts = [resource.name for resource in package.resources if (resource.name or "").startswith("noise-json")][1:]
    assert parts == ["noise-json", *(f"noise-json-{number}" for number in range(2, len(parts) + 1))]
    assert [row["noise"] for name in parts for row in rows_of(package, name)] == expected


def test_every_file_is_in_a_resource(ada: User, tmp_path: Path, settings: Settings) -> None:
    own = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "media"}}
    settings.STORAGES = settings.STORAGES | {"default": own}
    settings.CARRYALL = settings.CARRYALL | {"CONTROLLER": "Shop Ltd"}
    errands(3)
    for name in ("写真.jpg", "写真.jpg", "a.txt"):
        letter(ada, name, b"not a table")
    found = unpacked(bundle(ada, ["letters", "errands"], ["csv", "json", "pdf", "xlsx", "parquet"]))
    check_resources(found)
    described = json.loads(found.text("datapackage.json"))
    assert described["contributors"] == [{"title": "Shop Ltd", "roles": ["publisher"]}]
    kinds = {resource["path"].rpartition(".")[2]: resource["mediatype"] for resource in described["resources"]}
    assert (kinds["pdf"], kinds["txt"], kinds["csv"]) == ("application/pdf", "text/plain", "text/csv")
    check_resources(unpacked(bundle(ada, ["errands"], ["csv", "notes"])))
    package_of(unpacked(bundle(ada, ["letters", "errands"], ["csv", "json"])), tmp_path / "all")


def check_resources(found: Unpacked) -> None:
    """Assert that each file is in one resource, with its size and checksum, and that names differ."""
    found.check()
    described = json.loads(found.text("datapackage.json"))
    resources = {resource["path"]: resource for resource in described["resources"]}
    assert set(resources) == {file["path"] for file in found.listed()}
    assert len({resource["name"] for resource in resources.values()}) == len(resources)
    for file in found.listed():
        resource = resources[file["path"]]
        assert (resource["bytes"], resource["hash"]) == (file["size"], f"sha256:{file['sha256']}")


def test_nested_tables_refer_to_the_table_of_their_dataset(ada: User, bob: User, tmp_path: Path) -> None:
    baskets(ada, bob)
    with registered(Baskets):
        found = unpacked(bundle(ada, ["baskets"], ["csv", "json"]))
    package = package_of(found, tmp_path)
    keys = {resource.name: resource.schema.foreign_keys for resource in package.resources}
    reference = {"resource": "baskets-csv", "fields": ["Basket ID"]}
    assert keys == {
        "baskets-csv": [], "baskets-json": [],
        **{f"baskets-{name}-csv": [{"fields": ["Basket ID"], "reference": reference}]
           for name in ("lines", "tags", "remarks")},
    }  # fmt: skip
    assert {row["Basket ID"] for row in rows_of(package, "baskets-lines-csv")} < {
        row["Basket ID"] for row in rows_of(package, "baskets-csv")
    }


MARKED: dict[ColumnType, tuple[Any, str, str | None]] = {
    ColumnType.JSON: ({"a": 1}, "any", None),
    ColumnType.LIST: ([1, "b"], "array", None),
    ColumnType.UUID: (UUID(int=1), "string", "uuid"),
    ColumnType.IP: ("::1", "string", None),
    ColumnType.BINARY: (b"abc", "string", "binary"),
    ColumnType.URL: ("https://shop.example/1", "string", "uri"),
    ColumnType.EMAIL: ("ada@shop.example", "string", "email"),
    ColumnType.FILE: ("a/b.txt", "string", None),
}
"""A value of each type that is written as text with a meaning, and its type and format in a Table Schema."""


class Marked(Errands):
    key = "marked"
    columns: ClassVar[Sequence[Column]] = tuple(
        Column(kind.value, kind.value, kind, function=lambda _row, value=value: value)  # type: ignore[misc]
        for kind, (value, _, _) in MARKED.items()
    )


def test_texts_with_a_meaning_have_their_type_and_format(ada: User, tmp_path: Path) -> None:
    errands(1)
    with registered(Marked):
        package = package_of(unpacked(bundle(ada, ["marked"], ["csv", "json"])), tmp_path)
    for name in ("marked-csv", "marked-json"):
        fields = [each.to_descriptor() for each in package.get_resource(name).schema.fields]
        assert [(each["type"], each.get("format")) for each in fields] == [facts[1:] for facts in MARKED.values()]
    [row] = rows_of(package, "marked-json")
    assert (row["json"], row["list"], row["uuid"]) == ({"a": 1}, [1, "b"], str(UUID(int=1)))


class Twice(Errands):
    """Two columns with the same heading, one of which is guarded against formulas."""

    columns: ClassVar[Sequence[Column]] = (
        Column("id", "=Number", ColumnType.INTEGER),
        Column("again", "=Number", ColumnType.INTEGER, source="id"),
    )


def test_names_of_fields_differ_even_if_headings_do_not(ada: User) -> None:
    errands(1)
    with registered(Twice):
        found = unpacked(bundle(ada, ["errands"], ["csv"]))
    described = json.loads(found.text("datapackage.json"))
    fields = described["resources"][0]["schema"]["fields"]
    assert [(field["name"], field["title"]) for field in fields] == [("'=Number", "=Number"), ("'=Number 2", "=Number")]
    assert Package.from_descriptor(described).resources
