"""Pages of the PDF writer equal those of WeasyPrint for the same rows, in every supported template.

Word boxes agree within half a point. Text, order, rules, tints and bookmarks are equal. The writer refuses a template
that it does not support and never draws it wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from io import BytesIO

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from exports.datasets import Row
from exports.formats.pdf.html import write_pdf
from tests.support import pdf
from tests.support.pdf_designs import (
    DESIGNS,
    TEXTS,
    design,
    hard_rows,
    mixed_rows,
    plain_rows,
    same,
    templates_available,
    weasyprint_pdf,
    written_pdf,
)

EVERY = pytest.mark.parametrize("name", DESIGNS)
DEFAULT = "exports/pdf/table"


@pytest.fixture(autouse=True, scope="module")
def _templates() -> Iterator[None]:
    with templates_available():
        yield


@cache
def rows_on_first_page(name: str) -> int:
    """Return how many plain rows fit on the first page."""
    found = pdf.pages(weasyprint_pdf(design(name), plain_rows(80)))
    first = next(page for page in found if "R00000" in page.text)
    return sum(word.text.startswith("R0") for word in first.words)


@cache
def in_parts(name: str) -> bytes:
    return written_pdf(design(name), mixed_rows(90), [0, 1, 40, 40, 61])


# --- designs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cover", "ledger"])
def test_no_rows(name: str) -> None:
    same(design(name), [])


@EVERY
def test_one_row(name: str) -> None:
    same(design(name), plain_rows(1))


@EVERY
@pytest.mark.parametrize("more", [0, 1])
def test_a_full_page_of_rows(name: str, more: int) -> None:
    same(design(name), plain_rows(rows_on_first_page(name) + more))


@EVERY
def test_hard_texts(name: str) -> None:
    same(design(name), hard_rows())


@EVERY
def test_rows_of_many_heights_in_parts(name: str) -> None:
    lines = pdf.differences(weasyprint_pdf(design(name), mixed_rows(90)), in_parts(name))
    assert lines == []


def test_more_than_a_thousand_rows_in_the_default_design() -> None:
    """The file has section bookmarks and totals on the first page."""
    found = same(design(DEFAULT), plain_rows(1_100), cuts=[500, 999, 1_000, 1_001])
    assert len(pdf.bookmarks(found)) == 3


def test_pages_do_not_depend_on_parts() -> None:
    rows = mixed_rows(120)
    lines = pdf.differences(
        written_pdf(design("ledger"), rows), written_pdf(design("ledger"), rows, [1, 2, 3, 50, 119])
    )
    assert lines == []


@EVERY
def test_row_higher_than_a_page_continues_on_the_next(name: str) -> None:
    """Unlike WeasyPrint, the writer repeats the headings on every page of such a row."""
    rows = plain_rows(3)
    rows[1] = ("R00001", "\n".join(f"line-{i}" for i in range(260)), *rows[1][2:])
    found = [page for page in pdf.pages(written_pdf(design(name), rows)) if "line-" in page.text]
    assert re.findall(r"line-\d+", " ".join(page.text for page in found)) == rows[1][1].split("\n")
    assert all("Number" in page.text for page in found)
    assert all(word.bottom < page.height for page in found for word in page.words)


# --- the file -------------------------------------------------------------------------------------------------------


@EVERY
def test_file_is_valid(name: str) -> None:
    assert pdf.qpdf_errors(in_parts(name)) == ""
    assert all(embedded and readable for _, embedded, readable in pdf.fonts(in_parts(name)))


@EVERY
def test_fonts_match_weasyprint_and_are_embedded_once(name: str) -> None:
    assert {font for font, *_ in pdf.fonts(in_parts(name))} == {
        font for font, *_ in pdf.fonts(weasyprint_pdf(design(name), mixed_rows(90)))
    }
    assert len(pdf.font_files(in_parts(name))) == len(set(pdf.font_files(in_parts(name))))


@EVERY
def test_headings_and_numbers_on_each_page(name: str) -> None:
    pages = [page.text for page in pdf.pages(in_parts(name))]
    for number, page in enumerate(pages, 1):
        if "R0" in page:
            assert "Number" in page
            assert re.search(rf"\b{number}\b", page)
    assert [n for page in pages for n in re.findall(r"R\d{5}", page)] == [row[0] for row in mixed_rows(90)]


# --- any rows -------------------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from([word for text in TEXTS.values() for word in text.split(" ")]),
    st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF), max_size=12),
    st.text("0123456789.,- ()\\", max_size=12),
)
CELLS = st.builds(lambda words, between: between.join(words), st.lists(WORDS, max_size=6), st.sampled_from(" \n"))
ROWS = st.lists(st.tuples(CELLS, CELLS, st.decimals(places=2) | st.none(), st.integers() | st.none()), max_size=12)


@settings(max_examples=20, phases=[Phase.generate])
@given(st.sampled_from(DESIGNS), ROWS, st.data())
def test_any_rows(name: str, rows: list[Row], data: st.DataObject) -> None:
    same(design(name), rows, data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))


# --- the comparison itself ------------------------------------------------------------------------------------------

SHEET = """<title>Sheet</title><style>
@page { size: A5; margin: 12mm; @bottom-right { content: counter(page) " of " counter(pages) } }
body { font: 8pt "Noto Sans" }  table { width: 100%; border-spacing: 0 }  h1 { font-size: 12pt; bookmark-level: 1 }
td { padding: 1mm; border-bottom: .4pt solid #ccc }  tr:nth-child(even) { background: #f5f6fa }
</style><h1>Sheet</h1><table>"""
TABLE = "".join(f"<tr><td>row {i}</td><td>office {i * 7}</td></tr>" for i in range(60))


@cache
def sheet(css: str = "", table: str = TABLE) -> bytes:
    out = BytesIO()
    write_pdf(SHEET.replace("</style>", f"{css}</style>") + table, out)
    return out.getvalue()


def test_equal_sheets_have_no_differences() -> None:
    assert pdf.differences(sheet(), sheet()) == []


@pytest.mark.parametrize(
    "css",
    [
        "table { margin-left: 1pt }",
        "table { margin-left: .6pt }",
        "td { padding-top: 3pt }",
        "body { font-size: 8.1pt }",
        "body { font-family: 'DejaVu Sans' }",
        "td { border-bottom-color: #bbb }",
        "td { border-bottom-color: white }",
        "tr:nth-child(even) { background: none }",
        "tr:nth-child(6) { background: none }",
        "tr:nth-child(even) { background: #eeeff3 }",
        "tr:nth-child(7) td { border-bottom-color: white }",
        "td { letter-spacing: .1pt }",
        "td { text-decoration: underline }",
        "td { color: #600 }",
        "@page { size: 149mm 210mm }",
        "h1 { bookmark-label: 'Other' }",
        "h1 { bookmark-level: none }",
    ],
)
def test_changed_style_is_detected(css: str) -> None:
    lines = pdf.differences(sheet(), sheet(css))
    assert lines


@pytest.mark.parametrize(
    "table",
    [
        TABLE.replace("row 5<", "row 6<"),
        TABLE.replace("<td>row 5</td><td>office 35</td>", "<td>office 35</td><td>row 5</td>"),
        TABLE + "<tr><td>one more</td><td></td></tr>",
        TABLE.replace("<td>row 5</td>", "<td></td>"),
    ],
    ids=["a word", "the order", "a row", "a cell left out"],
)
def test_changed_text_is_detected(table: str) -> None:
    lines = pdf.differences(sheet(), sheet(table=table))
    assert lines
