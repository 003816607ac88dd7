"""The assembled file: pages, bookmarks and notes. Its bytes do not depend on how rows are split into parts."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from django.utils import translation
from pypdf import PdfReader

from exports.datasets import Column, ColumnType, Row
from exports.errors import FormatFailed
from exports.formats import OpenPart, Share
from exports.formats.pdf import Pdf
from tests.support import pdf
from tests.support.formats import context, kind, read_pdf, write, write_parts

COLUMNS = (
    Column("n", "Number"),
    Column("t", "Text"),
    Column("m", "Sum", ColumnType.MONEY, currency="EUR", total=True),
    Column("d", "When", ColumnType.DATETIME),
)
HARD = ("Zażółć", "שלום", "नमस्ते", "東京 都", "(a) \\ b", "e\u0301", "two\nlines", "long words " * 30, "")


def rows(count: int) -> list[Row]:
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)
    return [
        (f"R{i:05}", f"row {i}" if i % 4 else HARD[i // 4 % len(HARD)], Decimal(i) / 4, "EUR", moment)
        for i in range(count)
    ]


def cut(lines: Sequence[Row], *places: int) -> list[Sequence[Row]]:
    ends = [*places, len(lines)]
    return [lines[start:end] for start, end in zip([0, *places], ends, strict=True)]


@pytest.mark.slow
def test_file_does_not_depend_on_parts() -> None:
    lines = rows(400)
    whole = write_parts(kind("pdf"), [lines], context(COLUMNS))
    assert write_parts(kind("pdf"), cut(lines, 0, 1, 2, 150, 151, 399), context(COLUMNS)) == whole
    assert pdf.qpdf_errors(whole) == ""


def test_parts_can_be_written_again_in_any_order() -> None:
    lines, format_ = rows(120), kind("pdf")
    where = context(COLUMNS)
    where = replace(where, layout=format_.prepare(lines[:50], where), rows=120)

    def body(index: int) -> tuple[bytes, OpenPart]:
        out = BytesIO()
        written = format_.write(lines[40 * index : 40 * index + 40], out, replace(where, index=index))
        return out.getvalue(), OpenPart(BytesIO(out.getvalue()), written.rows, written.meta)

    first, again = [body(index) for index in (0, 1, 2)], [body(index) for index in (2, 1, 0)]
    assert [data for data, _ in first] == [data for data, _ in reversed(again)]


def test_rows_are_in_order_and_pages_are_numbered() -> None:
    data = write_parts(kind("pdf"), cut(rows(400), 13, 200), context(COLUMNS))
    pages = read_pdf(data)
    found = [word for page in pages for word in page.split() if word.startswith("R0")]
    assert found == [f"R{i:05}" for i in range(400)]
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Number" in page


@pytest.mark.slow
def test_pages_are_filled_across_parts() -> None:
    lines = [(f"R{i:05}",) for i in range(300)]
    data = write_parts(kind("pdf"), cut(lines, 7, 8, 100, 233), context([Column("a", "A")]))
    _, *middle, _ = [page.count("R0") for page in read_pdf(data)]
    assert len(set(middle)) == 1
    first = pdf.pages(data)[1].words
    assert first[-1].bottom > 800, "the page number should be the last word"
    assert max(word.bottom for word in first if word.text.startswith("R0")) > 780


def test_every_second_row_is_tinted_across_parts_and_pages() -> None:
    lines = [(f"R{i:05}" + "\nmore" * (200 if i == 20 else 0),) for i in range(90)]
    data = write_parts(kind("pdf"), cut(lines, 3, 20, 21, 50), context([Column("a", "A")]))
    pages = pdf.pages(data)
    pictures = pdf.pixels(data, range(1, len(pages) + 1))
    found = {
        int(word.text[1:]): picture.getpixel((int(2 * word.left) - 3, int(word.top + word.bottom))) != (255, 255, 255)
        for page, picture in zip(pages, pictures, strict=True)
        for word in page.words
        if word.text.startswith("R0")
    }
    assert found == {number: number % 2 == 1 for number in range(90)}


def test_bookmarks_name_sections() -> None:
    data = write("pdf", [("a",)] * 2_050, context([Column("a", "A")]))
    marks = pdf.bookmarks(data)
    assert [(level, words) for level, words, _ in marks] == [
        (0, "Orders"),
        (1, "Rows 1–1,000"),
        (1, "Rows 1,001–2,000"),
        (1, "Rows 2,001–2,050"),
    ]
    pages = [page for *_, page in marks]
    assert pages == sorted(pages)
    assert pages[1] == 1 < pages[2] < pages[3]


def test_bookmarks_of_a_split_export_count_the_rows_of_all_files() -> None:
    share = Share(2, 3, before=5_000, rows=9_000)
    data = write("pdf", [("a",)] * 1_500, context([Column("a", "A")], share=share))
    assert [words for _, words, _ in pdf.bookmarks(data)] == [
        "Orders, part 2 of 3", "Rows 5,001–6,000", "Rows 6,001–6,500"
    ]  # fmt: skip


def test_empty_file_of_a_split_export() -> None:
    share = Share(2, 3, before=5_000, rows=9_000)
    assert "none of 9,000" in read_pdf(write("pdf", [], context(share=share)))[0]


def test_few_rows_have_no_section_bookmarks() -> None:
    assert pdf.bookmarks(write("pdf", [("a",)] * 1_000, context([Column("a", "A")]))) == [(0, "Orders", 1)]


def test_first_page_has_totals() -> None:
    with translation.override("de"):
        first = read_pdf(write_parts(kind("pdf"), cut(rows(40), 11), context(COLUMNS)))[0]
    assert "195,00" in first


def test_undrawable_characters_are_named() -> None:
    data = write("pdf", [("\U0010f123 and \U0010f123",), ("\U0010f124",)], context([Column("a", "A")]))
    words = pdf.pages(data)[0].text
    assert "3 characters could not be drawn, because no installed font has them: U+10F123, U+10F124" in words
    assert "\U0010f123" in words, "the character should be copyable"


def test_document_metadata() -> None:
    with translation.override("de"):
        reader = PdfReader(BytesIO(write("pdf", [("a",)], context([Column("a", "A")]))))
    assert reader.pdf_header == "%PDF-1.7"
    assert str(reader.root_object["/Lang"]) == "de"
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("Orders", "Ада & Söhne <GmbH>")
    assert reader.metadata.creation_date == datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 33, 5_000])
def test_page_tree(count: int) -> None:
    data = write("pdf", [("x\n" * 60,)] * count if count < 50 else [("a",)] * count, context([Column("a", "A")]))
    assert pdf.qpdf_errors(data) == ""
    assert len(PdfReader(BytesIO(data)).pages) == len(pdf.pages(data))


def test_row_higher_than_a_page_keeps_lines_and_headings() -> None:
    lines = "\n".join(f"line-{i}" for i in range(300))
    pages = read_pdf(write("pdf", [("before",), (lines,), ("after",)], context([Column("a", "Heading")])))
    words = [word for page in pages for word in page.split()]
    assert [word for word in words if word.startswith("line-")] == lines.split("\n")
    assert words.index("before") < words.index("line-0") < words.index("line-299") < words.index("after")
    assert all("Heading" in page for page in pages)


def test_text_is_extracted_in_order(tmp_path: Path) -> None:
    path = tmp_path / "table.pdf"
    path.write_bytes(write("pdf", [("one", "a"), ("two", "b")], context([Column("a", "A"), Column("b", "B")])))
    text = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, text=True, check=True).stdout
    assert "A B\none a\ntwo b\n" in text


def test_unsupported_template_is_refused() -> None:
    class Unsupported(Pdf):
        template = "exports/pdf/usage_report.html"

    with pytest.raises(FormatFailed, match="The PDF template is not supported"):
        write_parts(Unsupported(), [[("a",)]], context([Column("a", "A")]))
