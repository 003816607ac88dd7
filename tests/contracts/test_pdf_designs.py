"""Template styles in the PDF writer. It draws each one as WeasyPrint does, or refuses it, and never draws it wrong."""

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
    add_template,
    design,
    mixed_rows,
    plain_rows,
    same,
    templates_available,
    weasyprint_pdf,
    written_pdf,
)

LEDGER = (FOLDER / "ledger.html").read_text().replace("size: A4;", "size: A5;")


@pytest.fixture(autouse=True, scope="module")
def _templates() -> Iterator[None]:
    with templates_available():
        yield


SUPPORTED = {
    "stripe on every third row": "tbody tr:nth-child(3n) { background: #fdd }",
    "striped cells": "tbody tr:nth-child(odd) td { background: rgba(0, 0, 255, .1) }",
    "kerning and ligatures": "html { font-family: 'Noto Serif'; font-kerning: normal; font-variant-ligatures: normal }",
    "letter-spacing": "td { letter-spacing: 1pt; word-spacing: 2pt }",
    "small caps": "td { font-variant-caps: small-caps }",
    "bold column": "td:first-child { font-weight: bold }",
    "columns in other fonts": "td:nth-child(2) { font: italic 6pt 'Noto Serif' } .n { font-family: monospace }",
    "colored columns": "td:nth-child(3) { color: #b00020 } td:nth-child(2) { color: rgba(0, 0, 0, .5) }",
    "columns with other padding": "td:nth-child(2) { padding: 4mm 1mm 0 8mm }",
    "columns with other line heights": "td:nth-child(2) { line-height: 2.2; vertical-align: bottom }",
    "tinted cells of a column": "td:nth-child(2) { background: #ffe }",
    "no wrapping": "td { white-space: nowrap }",
    "no breaks within words": "td { overflow-wrap: normal }",
    "centered cells": "td { vertical-align: middle; text-align: center }",
    "different first page": "@page :first { margin-top: 60mm; background: #eef }",
    "left and right pages": "@page :left { margin-left: 40mm } @page :right { margin-right: 40mm }",
    "roman numerals": "@page { @bottom-right { content: 'Page ' counter(page, lower-roman) ' of ' counter(pages) } }",
}
UNUSUAL = {
    "every third row bold": "tbody tr:nth-child(3n) td { font-weight: bold }",
    "every fifth row higher": "tbody tr:nth-child(5n+2) td { padding: 3mm }",
    "stripe on every thirteenth row": "tbody tr:nth-child(13n) { background: #fdd }",
    "one different row": "tbody tr:nth-child(17) { background: red }",
    "all rows from one on": "tbody tr:nth-child(n+17) { background: red }",
    "different first row": "tbody tr:first-child td { font-weight: bold }",
    "different last row": "tbody tr:last-child td { border-bottom: 2pt solid red; font-weight: bold }",
    "different second to last row": "tbody tr:nth-last-child(2) { background: #fdd }",
    "text before": "td::before { content: '> ' }",
    "text after": "td:nth-child(2)::after { content: ' <' }",
    "numbered rows": "tbody tr { counter-increment: r } td:first-child::before { content: counter(r) '. ' }",
    "uppercase": "td { text-transform: uppercase }",
    "underlined text": "td { text-decoration: underline }",
    "struck through text": "td:nth-child(3) { text-decoration: line-through }",
    "vertical text": "td { writing-mode: vertical-rl }",
    "rotated cells": "td:first-child { transform: rotate(5deg) }",
    "moved rows": "tbody tr { transform: translateX(5mm) }",
    "gradients": "td { background: linear-gradient(red, blue) }",
    "rounded corners": "td { border: 1pt solid red; border-radius: 3pt }",
    "translucent cells": "td { opacity: .5 }",
    "hidden cells": "td:nth-child(2) { visibility: hidden }",
    "missing column": "td:nth-child(2), th:nth-child(2) { display: none }",
    "outlines": "td { outline: 1pt solid red }",
    "framed table": "table { border: 2pt solid #333; background: #fffbe6; padding: 3mm }",
    "tinted body": "tbody { background: #fffbe6 }",
    "tinted column": "col:nth-child(2) { background: #fffbe6 }",
    "collapsed borders": "table { border-collapse: collapse } td { border: 1pt solid } tr { border: 2pt solid }",
    "collapsed dashed borders": "table { border-collapse: collapse } td { border: 1pt dashed #777 }",
    "breakable rows": "tr { break-inside: auto }",
    "page break every ten rows": "tbody tr:nth-child(10n) { break-before: page }",
    "clipped cells": "td { white-space: nowrap; overflow: hidden; text-overflow: ellipsis }",
    "preserved white space": "td { white-space: pre-wrap }",
    "hyphens": "td { hyphens: auto }",
    "justified": "td { text-align: justify }",
    "right to left": "table { direction: rtl }",
    "indented text": "td { text-indent: 3mm }",
    "rows with a height": "tbody tr { height: 12mm }",
    "cells with a height": "td { height: 12mm }",
    "shifted cells": "td:nth-child(2) { position: relative; left: 3mm }",
    "cells with a minimum height": "td { min-height: 12mm }",
    "clamped cells": "td { line-clamp: 2 }",
    "rotated table": "table { transform: rotate(1deg) }",
    "table with margins": "table { margin: 10mm 5mm 20mm 15mm; width: auto }",
    "outlined rows": "tr { outline: 1pt solid red }",
    "rows kept together": "tbody tr { break-after: avoid }",
    "new color functions": "tr { background: oklch(95% .03 100) } td { color: lab(50% 40 59.5) }",
    "collapsed and tinted": "table { border-collapse: collapse }",
    "crop marks": "@page { marks: crop; bleed: 3mm }",
    "every other page number": "@page { counter-increment: page 2 }",
    "running title": "h1 { position: running(t) } @page { @top-right { content: element(t) } }",
    "large first letters": "td::first-letter { font-size: 14pt }",
    "two columns": "body { columns: 2 }",
    "text at the end": "body::after { content: 'The end.' }",
    "text of rows in margins": "td:first-child { string-set: r content() } @page { @top-left { content: string(r) } }",
}


def with_style(css: str) -> Pdf:
    return design(add_template(LEDGER.replace("</style>", f"{css}\n</style>")))


@pytest.mark.parametrize("css", SUPPORTED.values(), ids=SUPPORTED)
def test_supported_style(css: str) -> None:
    same(with_style(css), mixed_rows(35), [13])


def test_right_to_left_table_is_supported_or_refused() -> None:
    with suppress(ExportError):
        same(design("arabic"), mixed_rows(35))


@pytest.mark.parametrize("css", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_style_is_supported_or_refused(css: str) -> None:
    with suppress(ExportError):
        same(with_style(css), mixed_rows(35))


ROW = "{% for cell, numeric in row %}<td>{{ cell }}</td>{% endfor %}"
MARKUP = {
    "bold text": ROW.replace("{{ cell }}", "<b>{{ cell }}</b>"),
    "text beside": ROW.replace("{{ cell }}", "€ {{ cell }}"),
    "links": ROW.replace("{{ cell }}", "<a href='https://example.com/'>{{ cell }}</a>"),
    "uppercase": ROW.replace("{{ cell }}", "{{ cell|upper }}"),
    "lowercase": ROW.replace("{{ cell }}", "{{ cell|lower }}"),
    "space around": ROW.replace("{{ cell }}", "\n    {{ cell }}\n  "),
    "truncated": ROW.replace("{{ cell }}", "{{ cell|truncatechars:12 }}"),
    "dash for empty cells": ROW.replace("{{ cell }}", "{{ cell|default:'—' }}"),
    "red if negative": ROW.replace("<td>", "<td{% if cell|slice:':1' == '-' %} style='color: red'{% endif %}>"),
    "extra cell": f"{ROW}<td>+</td>",
    "colspan": ROW.replace("<td>", "<td{% if forloop.first %} colspan=2{% endif %}>"),
    "rowspan": "{% if forloop.first %}<td rowspan=2>x</td>{% endif %}" + ROW,
    "two rows per record": f"{ROW}</tr><tr><td>more</td>",
    "reversed cells": ROW.replace("in row", "in row reversed"),
    "numbered rows with cells": "<td>{{ forloop.counter }}</td>" + ROW,
}


AROUND = {
    "frame": "<div style='border: 2pt solid red; padding: 3mm'>{}</div>",
    "frame on each page": "<div style='border: 2pt solid red; box-decoration-break: clone'>{}</div>",
    "background": "<div style='background: #eef'>{}</div>",
    "flex container": "<div style='display: flex'>{}</div>",
    "use of the rows outside the loop": "<p>{{{{ rows.0.0.0 }}}} is the first of {{{{ rows|length }}}}</p>{}",
    "text after": "{}<p>The end.</p>",
    "another table": "{}<table><tr><td>More</td></tr></table>",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_content_around_the_table_is_supported_or_refused(around: str) -> None:
    table = '{% include "table.html" %}'
    with suppress(ExportError):
        same(design(add_template(LEDGER.replace(table, around.format(table)))), mixed_rows(35))


@pytest.mark.parametrize("row", MARKUP.values(), ids=MARKUP)
def test_unusual_markup_is_supported_or_refused(row: str) -> None:
    table = "<table><thead><tr>{% for column in columns %}<th>{{ column.label }}</th>{% endfor %}</tr></thead><tbody>"
    table += f"{{% for row in rows %}}<tr>{row}</tr>{{% endfor %}}</tbody></table>"
    with suppress(ExportError):
        same(design(add_template(LEDGER.replace('{% include "table.html" %}', table))), mixed_rows(35))


PIXELS = 150
"""Pixels per inch: one pixel is about half a point."""
PLAIN = "tr, tr:nth-child(even), th, td { background: none }"
RULES = {
    "thick rule below the headings": "th { border-bottom: 2pt solid #111 } td { border-bottom: .5pt solid #999 }",
    "thick borders around the headings": "td { border: 1pt solid #555 } th { border: 3pt solid #a00 }",
}


@pytest.mark.parametrize("css", RULES.values(), ids=RULES)
def test_collapsed_borders_match_weasyprint(css: str, tmp_path: Path) -> None:
    kind = with_style(f"table {{ border-collapse: collapse }} {PLAIN} {css}")
    rows = plain_rows(60)
    wanted, found = (
        _drawn(data, tmp_path / name)
        for name, data in (("wanted", weasyprint_pdf(kind, rows)), ("found", written_pdf(kind, rows, [13])))
    )
    assert len(wanted) == len(found) > 1
    for one, other in zip(wanted, found, strict=True):
        different = sum(abs(a - b) > 40 for a, b in zip(one, other, strict=True))
        assert different / len(one) < 0.001


def _drawn(data: bytes, folder: Path) -> list[bytes]:
    """Return the pixels of each page, one byte per pixel."""
    folder.mkdir()
    (folder / "a.pdf").write_bytes(data)
    command = ["pdftoppm", "-gray", "-r", str(PIXELS), str(folder / "a.pdf"), str(folder / "page")]
    subprocess.run(command, check=True, timeout=60)
    return [path.read_bytes() for path in sorted(folder.glob("page-*.pgm"))]
