"""Sample templates and rows for the PDF writer, and the same pages rendered by WeasyPrint alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import override_settings

from exports.datasets import Column, ColumnType, Row
from exports.formats import RenderContext
from exports.formats.pdf import Pdf
from exports.formats.pdf.html import write_pdf
from tests.support import pdf
from tests.support.formats import context, write_parts

FOLDER = Path(__file__).parent / "pdf_templates"
DESIGNS = ("ledger", "cover", "grid", "listing", "poster")
COLUMNS = (
    Column("number", "Number"),
    Column("text", "Description"),
    Column("amount", "Amount\nin euro", ColumnType.DECIMAL),
    Column("share", "Share", ColumnType.INTEGER),
)
CONTEXT = context(COLUMNS, owner="Ада & Söhne", period="July 2024")

TEXTS = {
    "accents": "Zażółć gęślą jaźń, naïve café Übergröße Ærøskøbing",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "Cyrillic": "Съешь же ещё этих мягких французских булок",
    "CJK": "東京都渋谷区 北京市朝阳区建国路 서울특별시",
    "Arabic": "مرحبا بالعالم order 1234 من العميل",
    "Hebrew": "שלום עולם (Berlin) 12:30",
    "Devanagari": "नमस्ते दुनिया क्षत्रिय",
    "Thai": "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง",
    "combining marks": "e\u0301le\u0300ve n\u0303 Z\u0351\u036b",
    "emoji with joiners": "👩‍👩‍👧‍👦 ok 👍🏽",
    "a long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3,
    "a long text": "The quick brown fox jumps over the lazy dog and runs away. " * 12,
    "a long text in Arabic": "مرحبا بالعالم من العميل الجديد " * 12,
    "a long text in Chinese": "北京市朝阳区建国路" * 20,
    "line breaks": "first line\nsecond line\n\nfourth\r\nfifth\n",
    "empty": "",
    "blanks": "  two  blanks  ",
    "tabs": "a\tb\t\tc",
    "non-breaking spaces": "10\u00a0000\u00a0km zu\u00a0Fuß\u202f!",
    "soft hyphens": "Donau\u00addampf\u00adschiff\u00adfahrts\u00adgesellschaft " * 4,
    "zero-width characters": "zero\u200bwidth\u200bspace\ufeff\u2060end" * 4,
    "ligatures": "office affluent fjord ffi fl ff difficult",
    "kerning pairs": "AVATAR To Ty. WAVE LTAV P. Yo",
    "hyphens and slashes": "well-known/unknown, e-mail@example.com, https://example.com/a/b?c=d&e=f#g " * 2,
    "markup": "<b>bold</b> &amp; & {{ title }} {% now 'Y' %}",
    "PDF brackets": r"(a) \( \) \\ )( \n",
    "controls": "a\x01b\x1bc\x7fd\x85e\u2028f\u2029g",
    "private use and invalid characters": "\ue000 \U000f0000 \ufffe \ud800",
}


def hard_rows() -> list[Row]:
    """Return one row for each of TEXTS, with large, negative and missing numbers."""
    numbers = [Decimal(0), Decimal("-1234567.891"), Decimal("1E+24"), None, Decimal("99999.00")]
    return [(f"R{i:05}", text, numbers[i % 5], (-1) ** i * 10 ** (i % 19)) for i, text in enumerate(TEXTS.values())]


def plain_rows(count: int) -> list[Row]:
    return [(f"R{i:05}", f"row {i} of many", Decimal(i * 17) / 100, i) for i in range(count)]


def mixed_rows(count: int) -> list[Row]:
    """Return rows of one line; every fifth one has a text from `hard_rows` instead."""
    hard = [row[1] for row in hard_rows()]
    return [
        (n, hard[i // 5 % len(hard)] if i % 5 == 4 else text, *rest)
        for i, (n, text, *rest) in enumerate(plain_rows(count))
    ]


def design(name: str) -> Pdf:
    """Return the format with one of DESIGNS or with a template from `add_template`."""
    kind: type[Pdf] = type("Design", (Pdf,), {"template": f"{name}.html"})
    return kind()


_templates: dict[str, str] = {}


def add_template(html: str) -> str:
    """Register the template `html` and return its name."""
    name = hashlib.sha256(html.encode()).hexdigest()[:16]
    _templates[f"{name}.html"] = html
    return name


@contextmanager
def templates_available() -> Iterator[None]:
    """Make DESIGNS and the templates from `add_template` available to Django, before its own templates."""
    usual: dict[str, Any] = settings.TEMPLATES[0]
    loaders = [
        ("django.template.loaders.locmem.Loader", _templates),
        ("django.template.loaders.filesystem.Loader", [FOLDER, *usual["DIRS"]]),
        "django.template.loaders.app_directories.Loader",
    ]
    own: dict[str, Any] = {**usual, "APP_DIRS": False, "OPTIONS": {**usual["OPTIONS"], "loaders": loaders}}
    with override_settings(TEMPLATES=[own]):
        yield


def weasyprint_pdf(kind: Pdf, rows: Sequence[Row], where: RenderContext = CONTEXT) -> bytes:
    """Return a PDF of the rows, rendered by WeasyPrint alone."""
    out = BytesIO()
    write_pdf(kind.html(rows, replace(where, layout=kind.prepare(rows[:200], where))), out)
    return out.getvalue()


def written_pdf(kind: Pdf, rows: Sequence[Row], cuts: Iterable[int] = (), where: RenderContext = CONTEXT) -> bytes:
    """Return the PDF that the format writes. Parts start at the rows with the numbers `cuts`."""
    ends = [*sorted(cuts), len(rows)]
    return write_parts(kind, [rows[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)], where)


def same(kind: Pdf, rows: Sequence[Row], cuts: Sequence[int] = ()) -> bytes:
    """Return the written PDF after asserting that it equals the one rendered by WeasyPrint."""
    found = written_pdf(kind, rows, cuts)
    lines = pdf.differences(weasyprint_pdf(kind, rows), found)
    assert lines == []
    return found
