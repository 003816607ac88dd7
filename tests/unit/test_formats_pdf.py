from __future__ import annotations

import gc
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any, NoReturn

import pytest
from django.utils import translation
from pypdf import PdfReader

from exports.datasets import Column, ColumnType
from exports.errors import TooWide
from exports.formats import OpenPart
from exports.formats.pdf.fetcher import RefusingFetcher
from exports.formats.pdf.html import write_pdf
from exports.formats.pdf.widths import SHEETS, column_widths
from tests.support.formats import ALL_TYPES, ROW, context, kind, read_pdf, write

ONE = (Column("a", "Alpha"),)


def test_page_has_title_owner_period_and_values() -> None:
    (page,) = read_pdf(write("pdf", [ROW]))
    for words in (
        "Orders",
        "Ада & Söhne <GmbH>",
        "1 to 31 July 2024",
        "Page 1 of 1",
        "01/07/2024 14:00 (Europe/Berlin)",
    ):
        assert words in page
    for words in ("Text", "Integer", "Decimal", "42", "12.50", "Yes", "01/07/2024"):
        assert words in page


def test_document_information() -> None:
    found = PdfReader(BytesIO(write("pdf", [ROW]))).metadata
    assert found is not None
    assert (found.title, found.author) == ("Orders", "Ада & Söhne <GmbH>")


def test_headings_and_page_numbers_on_each_page() -> None:
    pages = read_pdf(write("pdf", [(f"row {i}",) for i in range(120)], context(ONE)))
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert "Alpha" in page
        assert f"Page {number} of {len(pages)}" in page
    assert [line for page in pages for line in page.split("\n") if line.startswith("row ")] == [
        f"row {i}" for i in range(120)
    ]


def test_rows_and_pages_are_counted() -> None:
    where = replace(context(ONE), layout=kind("pdf").prepare([("a",)], context(ONE)))
    body = BytesIO()
    written = kind("pdf").write([("a",)] * 3, body, where)
    body.seek(0)
    assert (written.rows, written.pages) == (3, None)
    done = kind("pdf").assemble([OpenPart(body, 3, written.meta)], BytesIO(), where)
    assert (done.rows, done.pages) == (3, 1)


def test_no_rows() -> None:
    (page,) = read_pdf(write("pdf", []))
    assert "No rows in this period" in page


def test_texts_are_escaped() -> None:
    text = "<b>html</b> </style> {{ 1 }} {% now 'Y' %} &amp;"
    (page,) = read_pdf(write("pdf", [(text,)], context(ONE, title=text, owner=text, period=text)))
    assert page.replace("\n", " ").count("<b>html</b> </style> {{ 1 }} {% now 'Y' %} &amp;") >= 4


@pytest.mark.parametrize(
    ("language", "number", "day"), [("en-gb", "1,234.50", "24/06/1812"), ("de", "1.234,50", "24.06.1812")]
)
def test_numbers_and_dates_are_localized(language: str, number: str, day: str) -> None:
    columns = [
        Column("a", "A", ColumnType.DECIMAL),
        Column("b", "B", ColumnType.DATE),
        Column("c", "C", ColumnType.INTEGER),
    ]
    with translation.override(language):
        (page,) = read_pdf(write("pdf", [(Decimal("1234.50"), date(1812, 6, 24), 2024)], context(columns)))
    assert number in page
    assert day in page
    assert "2024" in page


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, ["a"]),
        (1, 10**30),
        (2, Decimal("NaN")),
        (2, Decimal("1E+30")),
        (2, 5),
        (3, 1),
        (4, date.max),
        (5, datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_any_value_is_accepted(place: int, value: Any) -> None:
    row: list[Any] = [None] * 6
    row[place] = value
    assert read_pdf(write("pdf", [tuple(row), (None,) * 6]))


def test_too_many_columns_are_refused() -> None:
    columns = [Column(f"c{i}", "C", ColumnType.DECIMAL) for i in range(200)]
    with pytest.raises(TooWide, match="only the first 18 do"):
        kind("pdf").refuse(columns)
    kind("pdf").refuse(columns[:18])


@pytest.mark.slow
@pytest.mark.parametrize("text", ["x" * 50_000, "long text " * 5_000, "line\n" * 500])
def test_row_higher_than_a_page_is_split(text: str) -> None:
    pages = read_pdf(write("pdf", [("before",), (text,), ("after",)], context(ONE)))
    joined = "".join("".join(pages).split())
    assert len(pages) > 2
    assert "after" in joined
    assert joined.count(text[0]) >= text.count(text[0])


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://127.0.0.1:9/", "https://example.com/", "data:text/css,a"]
)
def test_documents_load_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[str] = []

    def spy(self: RefusingFetcher, url: str, headers: dict[str, str] | None = None) -> NoReturn:
        requested.append(url)
        refuse(self, url, headers)

    refuse = RefusingFetcher.fetch
    monkeypatch.setattr(RefusingFetcher, "fetch", spy)
    out = BytesIO()
    html = f'<link rel=stylesheet href="{url}"><img src="{url}"><link rel=attachment href="{url}"><p>still here'
    assert write_pdf(html, out) == 1
    assert url in requested
    assert "still here" in read_pdf(out.getvalue())[0]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:text/plain,a", "relative"])
def test_fetcher_refuses_urls(url: str) -> None:
    for fetch in (RefusingFetcher().fetch, RefusingFetcher(), RefusingFetcher().open):
        with pytest.raises(ValueError, match="Documents must not load"):
            fetch(url)


def test_garbage_collector_threshold_is_restored() -> None:
    before = gc.get_threshold()
    write_pdf("<p>a", BytesIO())
    assert gc.get_threshold() == before


def test_short_columns_keep_their_width_and_wide_ones_shrink() -> None:
    labels = ["Short", *["Wide"] * 9]
    upright, sideways = SHEETS["A4"]
    narrow, *wide = column_widths(
        labels, [["12345678"] * 3, *[["many words " * 9] * 3] * 9], sideways, [ColumnType.TEXT] * 10
    )
    assert narrow == 10
    assert set(wide) == {wide[0]}
    assert wide[0] < 36
    assert sum(column_widths(["A", "B"], [["a"], ["b"]], sideways, [ColumnType.TEXT] * 2)) < upright


@pytest.mark.parametrize(("paper", "width"), [("A4", 595), ("letter", 612), ("A3", 842)])
def test_paper_option(paper: str, width: int) -> None:
    data = write("pdf", [("a",)], context(ONE, options={"paper": paper}))
    assert abs(float(PdfReader(BytesIO(data)).pages[0].mediabox.width) - width) < 1


def test_many_columns_use_landscape() -> None:
    def width(columns: int) -> float:
        data = write("pdf", [("some text here",) * columns], context([Column(f"c{i}", "C") for i in range(columns)]))
        return float(PdfReader(BytesIO(data)).pages[0].mediabox.width)

    assert width(3) < 600 < width(12)


def test_all_types_fit_on_a_page() -> None:
    assert len(read_pdf(write("pdf", [ROW] * 10, context(ALL_TYPES)))) == 1
