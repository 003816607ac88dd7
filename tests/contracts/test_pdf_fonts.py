"""Every font that a page refers to is in the file, and PDF readers report no warnings."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from exports.datasets import Column, ColumnType
from exports.formats import Row
from tests.support.formats import context, kind, write_parts

FONT = re.compile(rb"/(\S+) [\d.]+ Tf")
JOINERS = [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x180F), *range(0x200B, 0x2010)]
MARKS = [*range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0x3164, 0xFE00, 0xFE0F, 0xFEFF, 0xFFA0]
IGNORED = [*map(chr, JOINERS), *map(chr, MARKS), "\U000e0001", "\U000e0041", "\U000e0100", "\U0001d173"]
"""Characters that draw nothing: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point."""
COLUMNS = [Column("name", "Name"), Column("text", "Text"), Column("more", "More \u061c")]


def rows() -> list[Row]:
    return [(f"{ord(each):x}", text, f"{each}") for each in IGNORED for text in (f"1{each}2", each, f"a {each} שלום")]


def resources(item: Any) -> Any:
    """Return the resources of a page or form, or those that it inherits."""
    if "/Resources" in item:
        return item["/Resources"].get_object()
    return resources(item["/Parent"].get_object())


def missing_fonts(item: Any, content: bytes) -> set[str]:
    """Return the fonts that `content` refers to but that its resources lack."""
    fonts: Any = resources(item).get("/Font", {})
    known = {str(name).removeprefix("/") for name in fonts.get_object()} if fonts else set()
    return {name.decode() for name in FONT.findall(content)} - known


def test_all_referenced_fonts_are_present(tmp_path: Path) -> None:
    every = rows()
    data = write_parts(kind("pdf"), [every[:50], every[50:]], context(COLUMNS))
    reader = PdfReader(BytesIO(data))
    for page in reader.pages:
        content = page.get_contents()
        assert content is not None
        assert not missing_fonts(page, content.get_data())
        for form in resources(page)["/XObject"].values():
            assert not missing_fonts(form.get_object(), form.get_object().get_data())
    (path := tmp_path / "all.pdf").write_bytes(data)
    for command in (
        ["pdftotext", path, "-"],
        ["pdftoppm", "-r", "20", path, tmp_path / "page"],
        ["qpdf", "--check", path],
    ):
        done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""


@pytest.mark.parametrize("letter", ["\u061c", "\u17b4", "\u180b"], ids=unicodedata.name)
def test_cell_with_only_an_invisible_character(letter: str, tmp_path: Path) -> None:
    (path := tmp_path / "one.pdf").write_bytes(write_parts(kind("pdf"), [[("a", letter, "b")]], context(COLUMNS)))
    done = subprocess.run(["pdftotext", str(path), "-"], check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_forms_without_text_have_no_fonts() -> None:
    """PDF readers load the fonts of each form: with fonts, zebra stripes take poppler five times as long."""
    columns = [Column("a", "A", ColumnType.INTEGER), Column("b", "B")]
    data = write_parts(kind("pdf"), [[(number, "x") for number in range(100)]], context(columns))
    page = PdfReader(BytesIO(data)).pages[-1]
    forms: list[Any] = [form.get_object() for form in resources(page)["/XObject"].values()]
    light = [form for form in forms if not FONT.search(form.get_data())]
    assert light
    assert all(not {"/Font", "/XObject"} & set(form["/Resources"].get_object()) for form in light)
