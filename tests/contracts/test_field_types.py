"""JSON, lists, UUIDs, IP addresses, bytes, links and files have a sensible form in every format and in both lanes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from functools import partial
from io import BytesIO
from ipaddress import ip_address
from operator import attrgetter
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection
from django.db.models import CharField
from django.db.models.expressions import RawSQL
from openpyxl import load_workbook
from pyarrow import parquet
from pypdf import PdfReader

from exports.datasets import AUTO, Column, ColumnType, Dataset, Row, Selection, Source, datasets
from exports.datasets.key_ranges import KeyRange
from exports.formats import OpenPart, formats
from exports.formats.links import target_of
from exports.formats.xlsx import grid, links
from exports.models import Export
from exports.states import State
from tests.support import pdf
from tests.support.exports import registered, run
from tests.support.formats import context, kind, read_pdf, write_parts
from tests.support.specimens import files_of, tables
from tests.support.tables import READERS
from tests.work.models import Dossier

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]

UID = UUID("0123ABCD-0123-4567-89AB-0123456789AB")
CONTENT = bytes(range(256)) * 2
FACTS: dict[str, Any] = {"d": {}, "n": 10**20, 'a"b': "line\nfeed", "größe": [1, 2.5, None, True]}
"""In the order in which PostgreSQL stores the keys: by length."""
ITEMS = ["a", "b;c", 3]
SITE, MAIL = "https://a.example/?a=1&b=(2)", "ada@a.example"
VALUES = {
    "uid": UID, "address": "2001:db8::1", "content": CONTENT, "facts": FACTS, "site": SITE, "mail": MAIL,
    "scan": "scans/Größe 1.pdf",
}  # fmt: skip
TYPES = {
    "uid": ColumnType.UUID,
    "address": ColumnType.IP,
    "content": ColumnType.BINARY,
    "facts": ColumnType.JSON,
    "site": ColumnType.URL,
    "mail": ColumnType.EMAIL,
    "scan": ColumnType.FILE,
}
COLUMNS = tuple(Column(name, name, each) for name, each in TYPES.items())
COMPUTED = tuple(Column(name, name, each, function=attrgetter(name)) for name, each in TYPES.items())
LANES = pytest.mark.parametrize("columns", [COLUMNS, COMPUTED], ids=["by the database", "by Python"])
TITLE = Column("title", "title")
JSON = json.dumps(FACTS, ensure_ascii=False, separators=(",", ":"))
AS_TEXT = {
    "uid": str(UID), "address": "2001:db8::1", "content": base64.b64encode(CONTENT).decode(), "facts": JSON,
    "site": SITE, "mail": MAIL, "scan": "scans/Größe 1.pdf",
}  # fmt: skip


class Dossiers(Dataset):
    model, owner = Dossier, "owner"
    columns = AUTO


def exported(owner: User, key: str, columns: Sequence[Column]) -> Export:
    with registered(type("Dossiers", (Dossiers,), {"columns": columns})):
        export = run(owner, key, dataset="dossiers")
    assert export.state == State.READY, export.error_message
    return export


@pytest.fixture
def dossiers(ada: User) -> None:
    Dossier.objects.create(owner=ada, title="full", **VALUES)
    Dossier.objects.create(owner=ada, title="empty")


def test_fields_have_these_types() -> None:
    with registered(Dossiers):
        found = {column.name: column.type for column in datasets.get("dossiers").columns}
    assert {name: found[name] for name in TYPES} == TYPES


@LANES
@pytest.mark.parametrize("key", ["csv", "xlsx"])
def test_as_cells(ada: User, dossiers: None, key: str, columns: Sequence[Column]) -> None:
    first, second = next(iter(tables(exported(ada, key, (TITLE, *columns))).values()))
    assert first == {"title": "full", **AS_TEXT}
    assert {value or None for value in second.values()} == {"empty", None}


@LANES
@pytest.mark.parametrize("key", ["json", "jsonl"])
def test_as_json(ada: User, dossiers: None, key: str, columns: Sequence[Column]) -> None:
    export = exported(ada, key, (TITLE, *columns))
    [content] = files_of(export).values()
    first, second = next(iter(tables(export).values()))
    assert json.loads(content.splitlines()[1 if key == "json" else 0].rstrip(b","))["facts"] == FACTS
    assert {name: first[name] for name in TYPES if name != "facts"} == {
        name: text for name, text in AS_TEXT.items() if name != "facts"
    }
    assert second["facts"] is second["uid"] is second["content"] is None


@LANES
def test_in_parquet(ada: User, dossiers: None, columns: Sequence[Column]) -> None:
    [content] = files_of(exported(ada, "parquet", (TITLE, *columns))).values()
    table = parquet.read_table(BytesIO(content))
    assert {name: str(table.schema.field(name).type) for name in TYPES} == {
        name: "binary" if name == "content" else "string" for name in TYPES
    }
    first, second = table.to_pylist()
    assert first == {"title": "full", **AS_TEXT, "content": CONTENT}
    assert second["content"] is None


@LANES
def test_in_a_pdf(ada: User, dossiers: None, columns: Sequence[Column]) -> None:
    [content] = files_of(exported(ada, "pdf", (TITLE, *columns))).values()
    found = "".join("".join(read_pdf(content)).split())
    for text in AS_TEXT.values():
        assert text[:8].replace(" ", "") in found


@pytest.mark.parametrize("key", [each.key for each in formats if each.extension in READERS])
def test_lists(ada: User, key: str) -> None:
    Dossier.objects.create(owner=ada, title="a", facts=ITEMS)
    export = exported(ada, key, (TITLE, Column("items", "items", ColumnType.LIST, source="facts")))
    [row] = next(iter(tables(export).values()))
    found = row["items"]
    assert (json.loads(found) if isinstance(found, str) else found) == ITEMS
    assert isinstance(found, list) == (key in ("json", "jsonl"))


WRONG: dict[ColumnType, tuple[Any, str]] = {
    ColumnType.UUID: ("no uuid", "no uuid (str)"),
    ColumnType.IP: ("1.2.3", "1.2.3 (str)"),
    ColumnType.BINARY: ("text", "Return bytes."),
    ColumnType.JSON: ({"a": float("nan")}, "a value that JSON can represent"),
    ColumnType.LIST: ({"a": 1}, "Declare the column as JSON."),
    ColumnType.FILE: (5, "Return a file, or its name."),
    ColumnType.URL: (User.objects, "Join its items"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_of_another_type_fails_with_row_and_fix(ada: User, wrong: ColumnType) -> None:
    value, words = WRONG[wrong]
    dossier = Dossier.objects.create(owner=ada, title="a")
    column = Column("shown", "Shown", wrong, function=lambda row: value)
    with registered(type("Dossiers", (Dossiers,), {"columns": (TITLE, column)})):
        export = run(ada, "csv", dataset="dossiers")
    assert (export.state, export.error_code) == (State.FAILED, "dataset_failed")
    assert f"“Shown” is declared as {wrong.name}" in export.error_message
    assert f"in the row {dossier.pk}" in export.error_message
    assert words in export.error_message


def test_other_values_of_each_type_are_converted(ada: User, settings: Any, tmp_path: Any) -> None:
    dossier = Dossier.objects.create(owner=ada, title="a")
    dossier.scan.save("a.txt", ContentFile(b"a"), save=False)
    values: dict[ColumnType, tuple[Any, Any]] = {
        ColumnType.UUID: (str(UID).upper(), str(UID)),
        ColumnType.IP: (ip_address("10.0.0.1"), "10.0.0.1"),
        ColumnType.BINARY: (memoryview(b"a"), "YQ=="),
        ColumnType.JSON: ("text", '"text"'),
        ColumnType.LIST: ((1, UID), f'[1,"{UID}"]'),
        ColumnType.FILE: (dossier.scan, dossier.scan.name),
    }
    given = {each.value: value for each, (value, _) in values.items()}
    columns = [
        Column(each.value, "X", each, function=partial(lambda name, _: given[name], each.value)) for each in values
    ]
    rows = Dossier.objects.order_by("pk")
    [row] = Source(rows, columns, KeyRange(dossier.pk, dossier.pk, 1))
    assert list(row) == [expected for _, expected in values.values()]
    dossier.scan.delete(save=False)


def test_a_formula_in_base64_is_guarded_as_text(ada: User) -> None:
    """Base64 may begin with a plus."""
    Dossier.objects.create(owner=ada, title="a", content=b"\xf8\x00\x00")
    assert next(iter(tables(exported(ada, "csv", (TITLE, COLUMNS[2]))).values()))[0]["content"] == "'+AAA"


# --- links ----------------------------------------------------------------------------------------------------------

LINKS: dict[tuple[ColumnType, str], str | None] = {
    (ColumnType.URL, "https://a.example/?a=1&b=2#c"): "https://a.example/?a=1&b=2#c",
    (ColumnType.URL, "http://münchen.example/größe"): "http://m%C3%BCnchen.example/gr%C3%B6%C3%9Fe",
    (ColumnType.URL, "FTP://a.example"): "FTP://a.example",
    (ColumnType.URL, "javascript:alert(1)"): None,
    (ColumnType.URL, "file:///etc/passwd"): None,
    (ColumnType.URL, "https://"): None,
    (ColumnType.URL, "https://[a"): None,
    (ColumnType.URL, "https://a.example/ b"): None,
    (ColumnType.URL, "a.example"): None,
    (ColumnType.URL, ""): None,
    (ColumnType.URL, "https://a.example/" + "a" * 2_080): None,
    (ColumnType.EMAIL, "ada+x@a.example"): "mailto:ada+x@a.example",
    (ColumnType.EMAIL, "a?bcc=b@a.example"): "mailto:a%3Fbcc%3Db@a.example",
    (ColumnType.EMAIL, "Ada <ada@a.example>"): None,
    (ColumnType.EMAIL, "ada"): None,
    (ColumnType.EMAIL, "a\ud800@a.example"): None,
}


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link[1][:30])
def test_only_sound_values_are_links(link: tuple[ColumnType, str]) -> None:
    assert target_of(*link) == LINKS[link]


def linked(content: bytes) -> dict[str, str]:
    """Return the targets of the links of a workbook by sheet and cell."""
    return {
        f"{sheet.title}!{cell.coordinate}": str(cell.hyperlink.target)
        for sheet in load_workbook(BytesIO(content)).worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.hyperlink
    }


@LANES
def test_links_in_a_workbook(ada: User, dossiers: None, columns: Sequence[Column]) -> None:
    Dossier.objects.create(owner=ada, title="bad", site="javascript:alert(1)", mail="nobody")
    [content] = files_of(exported(ada, "xlsx", (TITLE, *columns))).values()
    assert linked(content) == {"Dossiers of the house!F2": SITE, "Dossiers of the house!G2": f"mailto:{MAIL}"}
    assert READERS["xlsx"](content)[2]["site"] == "javascript:alert(1)"


def test_links_stop_at_the_limit_of_a_sheet_however_the_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "SHEET_ROWS", 6)
    monkeypatch.setattr(links, "PER_SHEET", 7)
    columns = [TITLE, Column("site", "Site", ColumnType.URL), Column("mail", "Mail", ColumnType.EMAIL)]
    rows = [(f"{number}", f"https://a.example/{number}", None if number % 2 else MAIL) for number in range(12)]
    found = []
    for cuts in ([rows], [rows[:3], rows[3:4], rows[4:]], [[], rows[:11], rows[11:]]):
        made = write_parts(kind("xlsx"), cuts, context(columns, rows=12))
        found.append(made)
        places = {place: target for place, target in linked(made).items() if "mailto" not in target}
        assert list(places) == [
            *(f"Orders!B{row}" for row in (2, 3, 4)),
            *(f"Orders 2!B{row}" for row in (2, 3, 4)),
            *(f"Orders 3!B{row}" for row in (2, 3)),
        ]
        assert [int(target.rpartition("/")[2]) for target in places.values()] == [0, 1, 2, 5, 6, 7, 10, 11]
    assert [linked(made) for made in found] == [linked(found[0])] * 3
    assert READERS["xlsx"](found[0])[4]["Site"] == "https://a.example/4"


def test_links_of_renumbered_rows_stay_with_their_rows() -> None:
    """Rows were added after planning, so the second part begins further down than it was written for."""
    columns = [TITLE, Column("site", "Site", ColumnType.URL)]
    rows = [(f"{number}", f"https://a.example/{number}") for number in range(5)]
    bodies = []
    for before, part in ((0, rows[:3]), (1, rows[3:])):
        body = BytesIO()
        kind("xlsx").write(iter(part), body, context(columns, before=before))
        bodies.append(OpenPart(BytesIO(body.getvalue()), len(part)))
    out = BytesIO()
    kind("xlsx").assemble(bodies, out, context(columns, rows=5))
    assert linked(out.getvalue()) == {f"Orders!B{number + 2}": f"https://a.example/{number}" for number in range(5)}


def links_of(content: bytes) -> list[tuple[int, str, str]]:
    """Return page, target and the text that is covered, for each link of a PDF."""
    found = []
    for number, (page, text) in enumerate(zip(PdfReader(BytesIO(content)).pages, pdf.pages(content), strict=True)):
        for note in page.get("/Annots") or []:
            left, below, right, above = map(float, note.get_object()["/Rect"])
            inside = [
                word.text
                for word in text.words
                if left - 1 <= word.left
                and word.right <= right + 1
                and text.height - above - 1 <= word.top
                and word.bottom <= text.height - below + 1
            ]
            found.append((number, str(note.get_object()["/A"]["/URI"]), "".join(inside)))
    return found


def test_links_in_a_pdf_cover_their_cells() -> None:
    """They are right at page breaks, in parts, and beside rows of several lines and rows that are split."""
    columns = [TITLE, Column("site", "Site", ColumnType.URL), Column("mail", "Mail", ColumnType.EMAIL)]
    rows: list[Row] = [(f"{number}\n" * (number % 3 + 1), f"https://a.example/{number}", None) for number in range(150)]
    rows[70] = ("a line\n" * 200, "https://a.example/(70)", "no address")
    rows[80] = ("a", "javascript:alert(80)", "ada@a.example")
    content = write_parts(kind("pdf"), [rows[:33], [], rows[33:100], rows[100:]], context(columns, rows=150))
    assert pdf.qpdf_errors(content) == ""
    found = links_of(content)
    targets = [target for _page, target, _text in found]
    expected = [f"https://a.example/{number}" for number in range(150)]
    expected[70], expected[80] = "https://a.example/(70)", "mailto:ada@a.example"
    assert targets == expected
    assert [text for _page, target, text in found] == [target.removeprefix("mailto:") for target in targets]
    assert len({page for page, *_ in found}) > 3


POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no COPY lane")


@POSTGRESQL
@pytest.mark.parametrize("key", ["csv", "jsonl", "json", "xlsx"])
def test_postgresql_writes_the_same_bytes(ada: User, dossiers: None, key: str) -> None:
    for number, address in enumerate(["10.0.0.1", "::ffff:10.0.0.1", "::1", "255.255.255.255"]):
        Dossier.objects.create(owner=ada, title=f"{number}", address=address, content=bytes([248 + number] * 60))
    columns = [TITLE, *[column for column in COLUMNS if column.type is not ColumnType.JSON]]
    dataset = type("Dossiers", (Dossiers,), {"columns": columns})()
    [keys] = dataset.key_ranges(Selection(ada), None)

    def body(rows: Iterable[Row]) -> bytes:
        out = BytesIO()
        assert kind(key).write(rows, out, context(columns)).rows == 6
        return out.getvalue()

    source = dataset.source(Selection(ada), columns, keys)
    assert source.copying() is not None
    assert body(source) == body(iter([*dataset.source(Selection(ada), columns, keys)]))


@POSTGRESQL
@pytest.mark.parametrize(
    "column",
    [
        Column("facts", "Facts", ColumnType.JSON),
        Column("facts", "Facts", ColumnType.LIST),
        Column("uid", "UID", ColumnType.UUID, RawSQL("uid::text", (), output_field=CharField())),
        Column("address", "Address", ColumnType.IP, RawSQL("host(address)", (), output_field=CharField())),
    ],
)
def test_what_python_would_check_or_write_differently_uses_the_python_lane(ada: User, column: Column) -> None:
    dossier = Dossier.objects.create(owner=ada, title="a")
    rows = Dossier.objects.order_by("pk")
    assert Source(rows, [TITLE, column], KeyRange(dossier.pk, dossier.pk, 1)).copying() is None
