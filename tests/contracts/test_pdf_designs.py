"""What a designer may ask of the PDF writer: it draws it as WeasyPrint does or refuses it, and never draws it wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from exports.errors import ExportError
from exports.formats.pdf import Pdf
from tests.support.pdf_designs import (
    FOLDER,
    design,
    drawn_up,
    laid_out,
    mixed_rows,
    plain_rows,
    same,
    templates_found,
    written,
)

LEDGER = (FOLDER / "ledger.html").read_text().replace("size: A4;", "size: A5;")


@pytest.fixture(autouse=True, scope="module")
def _templates() -> Iterator[None]:
    with templates_found():
        yield


HONOURED = {
    "zebra of three": "tbody tr:nth-child(3n) { background: #fdd }",
    "zebra of cells": "tbody tr:nth-child(odd) td { background: rgba(0, 0, 255, .1) }",
    "kerning and ligatures": "html { font-family: 'Noto Serif'; font-kerning: normal; font-variant-ligatures: normal }",
    "letter-spacing": "td { letter-spacing: 1pt; word-spacing: 2pt }",
    "small capitals": "td { font-variant-caps: small-caps }",
    "a column in bold": "td:first-child { font-weight: bold }",
    "columns in other faces": "td:nth-child(2) { font: italic 6pt 'Noto Serif' } .n { font-family: monospace }",
    "columns in colours": "td:nth-child(3) { color: #b00020 } td:nth-child(2) { color: rgba(0, 0, 0, .5) }",
    "columns of other padding": "td:nth-child(2) { padding: 4mm 1mm 0 8mm }",
    "columns of other heights": "td:nth-child(2) { line-height: 2.2; vertical-align: bottom }",
    "a tint behind a column": "td:nth-child(2) { background: #ffe }",
    "no wrapping": "td { white-space: nowrap }",
    "no breaking of words": "td { overflow-wrap: normal }",
    "cells in the middle": "td { vertical-align: middle; text-align: center }",
    "a first page apart": "@page :first { margin-top: 60mm; background: #eef }",
    "left and right pages": "@page :left { margin-left: 40mm } @page :right { margin-right: 40mm }",
    "roman numbers": "@page { @bottom-right { content: 'Page ' counter(page, lower-roman) ' of ' counter(pages) } }",
}
DARING = {
    "every third in bold": "tbody tr:nth-child(3n) td { font-weight: bold }",
    "every fifth higher": "tbody tr:nth-child(5n+2) td { padding: 3mm }",
    "a zebra of thirteen": "tbody tr:nth-child(13n) { background: #fdd }",
    "one row apart": "tbody tr:nth-child(17) { background: red }",
    "all from a row on": "tbody tr:nth-child(n+17) { background: red }",
    "a first row apart": "tbody tr:first-child td { font-weight: bold }",
    "a last row apart": "tbody tr:last-child td { border-bottom: 2pt solid red; font-weight: bold }",
    "the last but one": "tbody tr:nth-last-child(2) { background: #fdd }",
    "words before": "td::before { content: '> ' }",
    "words after": "td:nth-child(2)::after { content: ' <' }",
    "numbered rows": "tbody tr { counter-increment: r } td:first-child::before { content: counter(r) '. ' }",
    "capitals": "td { text-transform: uppercase }",
    "lines under text": "td { text-decoration: underline }",
    "lines through text": "td:nth-child(3) { text-decoration: line-through }",
    "upright text": "td { writing-mode: vertical-rl }",
    "turned cells": "td:first-child { transform: rotate(5deg) }",
    "moved rows": "tbody tr { transform: translateX(5mm) }",
    "gradients": "td { background: linear-gradient(red, blue) }",
    "round corners": "td { border: 1pt solid red; border-radius: 3pt }",
    "faint cells": "td { opacity: .5 }",
    "hidden cells": "td:nth-child(2) { visibility: hidden }",
    "a column less": "td:nth-child(2), th:nth-child(2) { display: none }",
    "outlines": "td { outline: 1pt solid red }",
    "a framed table": "table { border: 2pt solid #333; background: #fffbe6; padding: 3mm }",
    "a tinted body": "tbody { background: #fffbe6 }",
    "a tinted column": "col:nth-child(2) { background: #fffbe6 }",
    "collapsed borders": "table { border-collapse: collapse } td { border: 1pt solid } tr { border: 2pt solid }",
    "collapsed dashes": "table { border-collapse: collapse } td { border: 1pt dashed #777 }",
    "rows that break": "tr { break-inside: auto }",
    "a page every ten rows": "tbody tr:nth-child(10n) { break-before: page }",
    "clipped cells": "td { white-space: nowrap; overflow: hidden; text-overflow: ellipsis }",
    "white space as it is": "td { white-space: pre-wrap }",
    "hyphens": "td { hyphens: auto }",
    "justified": "td { text-align: justify }",
    "from right to left": "table { direction: rtl }",
    "indented": "td { text-indent: 3mm }",
    "rows of a height": "tbody tr { height: 12mm }",
    "cells of a height": "td { height: 12mm }",
    "cells out of place": "td:nth-child(2) { position: relative; left: 3mm }",
    "cells of some height": "td { min-height: 12mm }",
    "clamped cells": "td { line-clamp: 2 }",
    "a turned table": "table { transform: rotate(1deg) }",
    "a table with margins": "table { margin: 10mm 5mm 20mm 15mm; width: auto }",
    "outlined rows": "tr { outline: 1pt solid red }",
    "rows that stay together": "tbody tr { break-after: avoid }",
    "new colours": "tr { background: oklch(95% .03 100) } td { color: lab(50% 40 59.5) }",
    "collapsed and tinted": "table { border-collapse: collapse }",
    "crop marks": "@page { marks: crop; bleed: 3mm }",
    "every other number": "@page { counter-increment: page 2 }",
    "a running title": "h1 { position: running(t) } @page { @top-right { content: element(t) } }",
    "big first letters": "td::first-letter { font-size: 14pt }",
    "two columns": "body { columns: 2 }",
    "an end": "body::after { content: 'The end.' }",
    "words of rows in margins": "td:first-child { string-set: r content() } @page { @top-left { content: string(r) } }",
}


def with_style(css: str) -> Pdf:
    return design(drawn_up(LEDGER.replace("</style>", f"{css}\n</style>")))


@pytest.mark.parametrize("css", HONOURED.values(), ids=HONOURED)
def test_a_design_is_honoured(css: str) -> None:
    same(with_style(css), mixed_rows(35), [13])


def test_a_table_from_right_to_left_is_honoured_or_refused() -> None:
    with suppress(ExportError):
        same(design("arabic"), mixed_rows(35))


@pytest.mark.parametrize("css", DARING.values(), ids=DARING)
def test_a_daring_design_is_honoured_or_refused(css: str) -> None:
    with suppress(ExportError):
        same(with_style(css), mixed_rows(35))


ROW = "{% for cell, numeric in row %}<td>{{ cell }}</td>{% endfor %}"
MARKUP = {
    "bold inside": ROW.replace("{{ cell }}", "<b>{{ cell }}</b>"),
    "words beside": ROW.replace("{{ cell }}", "€ {{ cell }}"),
    "links": ROW.replace("{{ cell }}", "<a href='https://example.com/'>{{ cell }}</a>"),
    "capitals": ROW.replace("{{ cell }}", "{{ cell|upper }}"),
    "small letters": ROW.replace("{{ cell }}", "{{ cell|lower }}"),
    "space around": ROW.replace("{{ cell }}", "\n    {{ cell }}\n  "),
    "cut short": ROW.replace("{{ cell }}", "{{ cell|truncatechars:12 }}"),
    "a dash for nothing": ROW.replace("{{ cell }}", "{{ cell|default:'—' }}"),
    "red when negative": ROW.replace("<td>", "<td{% if cell|slice:':1' == '-' %} style='color: red'{% endif %}>"),
    "one cell more": f"{ROW}<td>+</td>",
    "two columns wide": ROW.replace("<td>", "<td{% if forloop.first %} colspan=2{% endif %}>"),
    "two rows high": "{% if forloop.first %}<td rowspan=2>x</td>{% endif %}" + ROW,
    "two rows each": f"{ROW}</tr><tr><td>more</td>",
    "cells reversed": ROW.replace("in row", "in row reversed"),
    "numbered": "<td>{{ forloop.counter }}</td>" + ROW,
}


AROUND = {
    "a frame": "<div style='border: 2pt solid red; padding: 3mm'>{}</div>",
    "a frame on each page": "<div style='border: 2pt solid red; box-decoration-break: clone'>{}</div>",
    "a tint": "<div style='background: #eef'>{}</div>",
    "boxes that stretch": "<div style='display: flex'>{}</div>",
    "the first row": "<p>{{{{ rows.0.0.0 }}}} is the first of {{{{ rows|length }}}}</p>{}",
    "words after": "{}<p>The end.</p>",
    "another table": "{}<table><tr><td>More</td></tr></table>",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_stands_around_the_table_is_honoured_or_refused(around: str) -> None:
    table = '{% include "table.html" %}'
    with suppress(ExportError):
        same(design(drawn_up(LEDGER.replace(table, around.format(table)))), mixed_rows(35))


@pytest.mark.parametrize("row", MARKUP.values(), ids=MARKUP)
def test_daring_markup_is_honoured_or_refused(row: str) -> None:
    table = "<table><thead><tr>{% for column in columns %}<th>{{ column.label }}</th>{% endfor %}</tr></thead><tbody>"
    table += f"{{% for row in rows %}}<tr>{row}</tr>{{% endfor %}}</tbody></table>"
    with suppress(ExportError):
        same(design(drawn_up(LEDGER.replace('{% include "table.html" %}', table))), mixed_rows(35))


PIXELS = 150
"""Pixels an inch: half a point is one."""
PLAIN = "tr, tr:nth-child(even), th, td { background: none }"
RULES = {
    "a thick rule below the headings": "th { border-bottom: 2pt solid #111 } td { border-bottom: .5pt solid #999 }",
    "thick borders around the headings": "td { border: 1pt solid #555 } th { border: 3pt solid #a00 }",
}


@pytest.mark.parametrize("css", RULES.values(), ids=RULES)
def test_rules_of_collapsed_borders_lie_where_weasyprint_draws_them(css: str, tmp_path: Path) -> None:
    kind = with_style(f"table {{ border-collapse: collapse }} {PLAIN} {css}")
    rows = plain_rows(60)
    wanted, found = (
        _drawn(data, tmp_path / name)
        for name, data in (("wanted", laid_out(kind, rows)), ("found", written(kind, rows, [13])))
    )
    assert len(wanted) == len(found) > 1
    for one, other in zip(wanted, found, strict=True):
        different = sum(abs(a - b) > 40 for a, b in zip(one, other, strict=True))
        assert different / len(one) < 0.001


def _drawn(data: bytes, folder: Path) -> list[bytes]:
    """The pages' pixels, a byte each."""
    folder.mkdir()
    (folder / "a.pdf").write_bytes(data)
    command = ["pdftoppm", "-gray", "-r", str(PIXELS), str(folder / "a.pdf"), str(folder / "page")]
    subprocess.run(command, check=True, timeout=60)
    return [path.read_bytes() for path in sorted(folder.glob("page-*.pgm"))]
