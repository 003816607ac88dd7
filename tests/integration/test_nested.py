"""Nested columns through the whole pipeline: in every format, in bundles with volumes, from the form and the API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from exports.datasets import Column, ColumnType, Nested, source
from exports.errors import TooWide, UnfitDataset, UnknownDataset
from exports.forecast.estimates import estimate_request
from exports.forecast.progress import progress_of
from exports.formats.zip import format as zips
from exports.intake.choices import ExportRequest
from exports.models import Export, Part
from exports.states import State
from tests.market.models import Basket, Line
from tests.support import hints
from tests.support.baskets import START, Baskets, baskets, fill
from tests.support.bundles import Unpacked, unpacked
from tests.support.exports import ask, content_of, errands, registered, run, step, work
from tests.support.formats import read_pdf
from tests.support.tables import READERS, Table

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir", "shop")]
FLAT = ["csv", "xlsx", "parquet", "pdf"]
KEYS = ["baskets", "baskets.lines", "baskets.tags", "baskets.remarks"]


@pytest.fixture
def shop(ada: User, bob: User, settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 4}
    baskets(ada, bob)
    with registered(Baskets):
        yield


def lines_of(owner: User) -> list[Line]:
    return list(Line.objects.filter(basket__owner=owner).order_by("pk"))


def tables_in(found: Unpacked, kind: str) -> dict[str, Table]:
    """Return the rows of each table in one format, by its key in the manifest."""
    return {
        dataset["key"]: [row for file in dataset["files"] if file["format"] == kind for row in _rows(found, file)]
        for dataset in found.manifest["datasets"]
    }


def _rows(found: Unpacked, file: dict[str, Any]) -> Table:
    rows = READERS[file["path"].rpartition(".")[2]](found.files[file["path"]])
    assert len(rows) == file["rows"]
    return rows


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_objects_are_in_their_row(kind: str, ada: User) -> None:
    export = run(ada, kind, dataset="baskets")
    rows = READERS[kind](content_of(export))
    assert (export.state, export.format, export.rows) == (State.READY, kind, 7)
    assert list(rows[0]) == ["number", "placed_at", "lines", "tags", "remarks"]
    assert [row["number"] for row in rows] == [f"ada-{place}" for place in range(7)]
    assert [len(row["lines"]) for row in rows] == [4, 0, 1, 3, 0, 1, 3]
    assert rows[0]["lines"][1] == {
        "title": 'line 1 of ada-0, "<&>"',
        "quantity": 2,
        "price": Decimal("2.00"),
        "price_currency": "JPY",
        "bought_at": None,
    }
    assert rows[2]["tags"] == [{"name": "red"}, {"name": "blue"}]
    assert rows[1]["remarks"] == [{"text": "remark 0 on ada-1"}]


@pytest.mark.parametrize("kind", FLAT)
def test_one_file_of_a_flat_format_becomes_a_bundle_with_a_table_for_each(kind: str, ada: User) -> None:
    export = run(ada, kind, dataset="baskets")
    assert (export.state, export.format, export.inside) == (State.READY, "zip", [kind]), export.error_detail
    found = unpacked(export)
    found.check()
    [parent, *nested] = found.manifest["datasets"]
    assert [each["key"] for each in (parent, *nested)] == KEYS
    assert [each["rows"] for each in (parent, *nested)] == [7, 12, 8, 3]
    assert export.rows == 7 + 12 + 8 + 3
    assert {each["folder"] for each in (parent, *nested)} == {"baskets"}
    names = [file["path"].partition("-to-")[0] for file in found.listed()]
    assert names == ["baskets/baskets", "baskets/baskets-lines", "baskets/baskets-tags", "baskets/baskets-remarks"]
    assert "nested_in" not in parent
    joint = {"dataset": "baskets", "key": "basket_id", "key_there": "basket_id"}
    assert [each["nested_in"] for each in nested] == [joint] * 3
    if kind == "pdf":
        [_, lines, *_] = found.listed()
        text = " ".join(read_pdf(found.files[lines["path"]]))
        assert all(line.title in text for line in lines_of(ada))
        assert "bob" not in text


@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
def test_the_tables_joined_equal_the_objects(kind: str, ada: User) -> None:
    objects = READERS["jsonl"](content_of(run(ada, "jsonl", dataset="baskets")))
    tables = tables_in(unpacked(run(ada, kind, dataset="baskets")), kind)
    id_name, number, title, name, text = (
        ("basket_id", "number", "title", "name", "text")
        if kind == "parquet"
        else ("Basket ID", "Number", "What was bought", "Name", "Text")
    )
    joined = {
        row[id_name]: {"number": row[number], "lines": [], "tags": [], "remarks": []} for row in tables["baskets"]
    }
    for key, heading in (("lines", title), ("tags", name), ("remarks", text)):
        for row in tables[f"baskets.{key}"]:
            joined[row[id_name]][key].append(row[heading])
    assert list(joined.values()) == [
        {
            "number": row["number"],
            "lines": [line["title"] for line in row["lines"]],
            "tags": [tag["name"] for tag in row["tags"]],
            "remarks": [remark["text"] for remark in row["remarks"]],
        }
        for row in objects
    ]


def test_a_bundle_has_tables_in_flat_formats_and_objects_in_the_others(ada: User) -> None:
    found = unpacked(run(ada, "zip", dataset=["baskets"], inside=["csv", "jsonl"]))
    found.check()
    formats = {each["key"]: [file["format"] for file in each["files"]] for each in found.manifest["datasets"]}
    assert formats == {key: ["csv", "jsonl"] if key == "baskets" else ["csv"] for key in KEYS}
    columns = {each["name"]: each for each in found.manifest["datasets"][0]["columns"]}
    assert list(columns) == ["basket_id", "number", "placed_at", "lines", "tags", "remarks"]
    assert columns["tags"] == {
        "name": "tags",
        "label": "Tags",
        "type": "nested",
        "columns": [{"name": "name", "label": "Name", "type": "text"}],
    }
    page = found.text("index.html")
    assert "In JSON Lines, each row also holds a list of: Lines, Tags, What was said." in page
    assert "Baskets: Lines</bdi>" in page
    assert "line 1 of ada-0" in page
    assert "bob" not in page
    assert "  - Baskets: What was said\n" in found.text("README.txt")


def test_a_bundle_is_split_into_volumes(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for basket in Basket.objects.filter(owner=ada):
        fill(basket, 40)
    monkeypatch.setitem(zips.SIZES, "50mb", 14_000)
    export = run(ada, "zip", dataset=["baskets"], inside=["csv", "jsonl"], options={"volume": "50mb"})
    assert export.state == State.READY, export.error_detail
    found = unpacked(export)
    found.check()
    assert len(found.volumes) > 1
    assert len([file for file in found.listed() if "baskets-lines-" in file["path"]]) > 1
    titles = [row["What was bought"] for row in tables_in(found, "csv")["baskets.lines"]]
    assert titles == [line.title for line in lines_of(ada)]


def test_several_datasets_in_a_bundle(ada: User) -> None:
    from tests.support.exports import Errands

    errands(2)
    with registered(Errands):
        found = unpacked(run(ada, "zip", dataset=["errands", "baskets"], inside=["json", "csv"]))
    found.check()
    assert [each["key"] for each in found.manifest["datasets"]] == ["errands", *KEYS]


def test_chosen_fields_leave_nested_columns_out(ada: User) -> None:
    export = run(ada, "csv", dataset="baskets", fields=["number"])
    assert (export.format, export.rows) == ("csv", 7)
    assert content_of(export).splitlines()[:2] == [b"Number", b"ada-0"]
    found = unpacked(run(ada, "csv", dataset="baskets", fields=["tags", "number"]))
    assert [each["key"] for each in found.manifest["datasets"]] == ["baskets", "baskets.tags"]
    assert list(tables_in(found, "csv")["baskets"][0]) == ["Basket ID", "Number"]
    assert READERS["json"](content_of(run(ada, "json", dataset="baskets", fields=["remarks"])))[1] == {
        "remarks": [{"text": "remark 0 on ada-1"}]
    }


def test_a_column_with_the_key_is_not_repeated(ada: User) -> None:
    class Keyed(Baskets):
        columns = (
            Column("nr", "Nr", ColumnType.INTEGER, "pk"),
            Nested("lines", [Column("of", "Of", ColumnType.INTEGER, "basket"), "title"]),
        )

    with registered(Keyed):
        found = unpacked(run(ada, "csv", dataset="baskets"))
    tables = tables_in(found, "csv")
    assert (list(tables["baskets"][0]), list(tables["baskets.lines"][0])) == (["Nr"], ["Of", "What was bought"])
    assert found.manifest["datasets"][1]["nested_in"] == {"dataset": "baskets", "key": "of", "key_there": "nr"}


def test_a_period_without_rows(ada: User) -> None:
    dates = {"period": "custom", "date_from": START.date() - timedelta(9), "date_to": START.date() - timedelta(8)}
    found = unpacked(run(ada, "zip", dataset=["baskets"], inside=["csv", "xlsx", "json"], **dates))
    found.check()
    assert {file["rows"] for file in found.listed()} == {0}
    assert READERS["json"](content_of(run(ada, "json", dataset="baskets", **dates))) == []


def test_a_row_with_too_many_objects_fails_with_what_to_do(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_OBJECTS", 3)
    monkeypatch.setattr(source, "OBJECTS", 3)
    export = run(ada, "json", dataset="baskets")
    assert (export.state, export.error_code) == (State.FAILED, "dataset_failed")
    assert "“Lines” has more than 3 entries" in export.error_message
    assert run(ada, "csv", dataset="baskets").state == State.READY


def test_a_retry_keeps_the_planned_tables(ada: User) -> None:
    """The files are those of the plan, also if the dataset has changed since."""
    export = ask(ada, "csv", dataset="baskets")
    step("plan_export", export.pk)
    hints.sent[:] = [(task, pks) for task, pks in hints.sent if task != "exports.tasks.plan_export"]
    with patch.object(Baskets, "columns", (*Baskets.columns, Column("owner", "Owner", source="owner__username"))):
        work(export)
    found = unpacked(export)
    assert list(tables_in(found, "csv")["baskets"][0]) == ["Basket ID", "Number", "Placed"]


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_nested_table_cannot_be_requested_alone(ada: User) -> None:
    with pytest.raises(UnknownDataset):
        ask(ada, "csv", dataset="baskets.lines")


def test_a_nested_table_that_is_too_wide_is_refused(ada: User) -> None:
    class Wide(Baskets):
        columns = (Column("number", "Number"), Nested("lines", [Column(f"c{n}", "C", source="pk") for n in range(99)]))

    with registered(Wide):
        with pytest.raises(TooWide):
            ask(ada, "pdf", dataset="baskets")
        assert ask(ada, "csv", dataset="baskets").format == "zip"


def test_a_nested_column_that_cannot_be_read_is_refused(ada: User) -> None:
    class Misspelt(Baskets):
        columns: ClassVar[Sequence[Column]] = (Column("number", "Number"), Nested("lins", ["title"]))

    with registered(Misspelt), pytest.raises(UnfitDataset) as refused:
        ask(ada, "csv", dataset="baskets")
    assert "Basket has no to-many relation 'lins'. Nested() takes one of: lines" in refused.value.detail
    assert not Export.objects.exists()


def test_the_rows_of_all_tables_are_estimated_and_count_as_progress(ada: User) -> None:
    request = ExportRequest("baskets", "csv", period="all")
    found = estimate_request(ada, request)
    assert found.rows is not None
    assert found.rows.number == 30
    assert found.tables == ["Baskets", "Baskets: Lines", "Baskets: Tags", "Baskets: What was said"]
    objects = estimate_request(ada, ExportRequest("baskets", "json", period="all"))
    assert objects.rows is not None
    assert (objects.rows.number, objects.tables) == (7, ())
    export = ask(ada, "csv", dataset="baskets")
    step("plan_export", export.pk)
    export.refresh_from_db()
    assert progress_of(export).rows_total == 30
    step("render_part", Part.objects.filter(export=export, content=1).order_by("index")[0].pk)
    assert progress_of(export).rows_done == 4


def test_the_form_tells_that_the_file_is_a_zip(client: Client, ada: User) -> None:
    client.force_login(ada)
    page = client.get("/exports/", {"dataset": "baskets", "format": "csv"}).content.decode()
    assert "Several entries for each row: Lines, Tags, What was said." in page
    assert 'name="fields" value="lines" checked' in page
    sent: dict[str, Any] = {"dataset": "baskets", "format": "csv", "period": "all"}
    words = "The file is a ZIP with a table for each: Baskets, Baskets: Lines"
    assert words in client.get("/exports/estimate/", sent).content.decode()
    for single in ({"format": "json"}, {"fields": ["number"]}):
        assert "ZIP" not in client.get("/exports/estimate/", sent | single).content.decode()
    answer = client.post("/exports/", sent | {"fields_of": "baskets", "fields": ["number", "lines"]})
    assert answer.status_code == 303
    made = Export.objects.get()
    assert (made.format, made.inside, made.fields) == ("zip", ["csv"], ["number", "lines"])
    again = client.get(client.get(answer["Location"]).context["again_url"]).content.decode()
    assert 'value="zip" checked' in again


def test_the_api_answers_with_the_bundle(client: Client, ada: User) -> None:
    client.force_login(ada)
    sent = {"dataset": "baskets", "format": "xlsx", "period": "all"}
    answer = client.post("/api/exports/", json.dumps(sent), content_type="application/json").json()
    assert (answer["format"], answer["inside"], answer["fields"]) == ("zip", ["xlsx"], None)
    same = client.post("/api/exports/", json.dumps(sent | {"format": "zip", "inside": ["xlsx"]}), "application/json")
    assert same.json()["existing"]
    assert client.get("/api/exports/estimate/", sent).json()["tables"][1] == "Baskets: Lines"
    assert client.get("/api/exports/estimate/", sent | {"format": "jsonl"}).json()["tables"] == []


def test_the_command_tells_that_the_file_is_a_zip(ada: User) -> None:
    words = StringIO()
    call_command(
        *("export", "--user", "ada", "--dataset", "baskets", "--format", "csv", "--range", "all", "--inline"),
        stdout=StringIO(),
        stderr=words,
    )
    assert "the file is a ZIP with a table for each" in words.getvalue()
