"""Layout of a template by WeasyPrint: positions of columns, decoration of pages, and styles of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from weasyprint import CSS, HTML, VERSION
from weasyprint.draw import draw_background, draw_page, draw_stacking_context
from weasyprint.draw.border import draw_border, draw_line
from weasyprint.draw.color import styled_color
from weasyprint.formatting_structure import boxes
from weasyprint.html import UA_COUNTER_STYLE
from weasyprint.layout.background import layout_box_backgrounds
from weasyprint.layout.percent import resolve_percentages
from weasyprint.pdf import _w3c_date_to_pdf
from weasyprint.stacking import StackingContext

from exports.formats.pdf.fetcher import RefusingFetcher
from exports.formats.pdf.internals.shaping import POINT, Assets, BoxStream, Shaper, joined, style_key
from exports.formats.pdf.internals.unsupported import PERIOD, check, check_end, unsupported_template

SAMPLE_ROWS = 2 * PERIOD + 2
WHOLE = re.compile(rb"(\d)\.(?=\s)")
"""Matches nearly whole numbers, which pydyf writes with a trailing point."""
DEFAULT_STYLE = "tbody tr { break-inside: avoid }"
"""Default style that a template may override."""
SHORT_ROWS = 4
"""Number of sample rows that is enough to locate the columns."""
SPECIAL_TEXTS = {3: "", 4: "-1", 5: "x" * 14}
"""Texts, by sample row, that a template might style differently."""


def sample(columns: int, rows: int = SAMPLE_ROWS) -> list[list[str]]:
    """Return the texts of the sample cells, column by column."""
    texts = SPECIAL_TEXTS if rows == SAMPLE_ROWS else {}
    return [
        [texts.get(place, f"xX{column}" if place == 6 else "x") for place in range(rows)] for column in range(columns)
    ]


@dataclass(frozen=True)
class ColumnBox:
    """Position and style of the text in the cells of a column. `above` and `below` are padding plus border."""

    left: float
    width: float
    above: float
    below: float
    align: str
    rtl: bool
    valign: str
    wraps: bool
    breaks_words: bool
    style: Any


@dataclass(frozen=True)
class Margin:
    """A box in the page margin: the operators that paint it, and its text if that contains page numbers.

    `parts` are plain texts and (counter name, counter style) pairs. `baseline` is the height of the text baseline above
    the lower page edge.
    """

    form: bytes
    parts: Sequence[str | tuple[str, str]] = ()
    style: Any = None
    left: float = 0
    width: float = 0
    baseline: float = 0
    align: str = "left"


@dataclass(frozen=True)
class PageKind:
    """A kind of page. Rows are placed between `start` and `bottom`; `start` is None for a cover."""

    form: bytes
    margins: Sequence[Margin]
    start: float | None
    shift: float
    """Distance by which its columns are to the right of those on the first page."""
    bottom: float
    width: float
    height: float


def lay_out(html: str, columns: int, rows: int = SAMPLE_ROWS) -> Sheet:
    """Lay out the template, rendered with the rows of `sample`, on a first page, a left and a right one.

    The last two pages have one row each. Raises FormatFailed if the template is not supported.
    """
    sheet = Sheet(html, (rows - 2, rows - 1))
    page, table = next(pair for pair in zip(sheet.pages, sheet.tables, strict=True) if pair[1])
    check(html, page, table, sheet.rows, sample(columns, rows))
    check_end(sheet.pages[-1], sheet.tables)
    return sheet


class Sheet:
    """A template laid out by WeasyPrint with a few rows, with page breaks before the rows `breaks`."""

    def __init__(self, html: str, breaks: Sequence[int] = ()) -> None:
        source = HTML(string=html, url_fetcher=RefusingFetcher())
        for place, row in enumerate(source.etree_element.findall(".//tbody/tr")):
            if place in breaks:
                row.set("style", f"{row.get('style', '')}; break-before: page")
        self.document = source.render(stylesheets=[CSS(string=DEFAULT_STYLE)])
        self.assets = Assets()
        self.pages = [page._page_box for page in self.document.pages]
        self.tables = [_table(page) for page in self.pages]
        self.rows = [row for table in self.tables if table for row in _body(table).children]
        self.collapse = _first(self.tables).style["border_collapse"] == "collapse"
        self.spacing = 0.0 if self.collapse else _first(self.tables).style["border_spacing"][1]
        self._shapers: dict[str, Shaper] = {}

    @cached_property
    def columns(self) -> list[ColumnBox]:
        return [self._column(cell) for cell in self.rows[1].children]

    def _column(self, cell: Any) -> ColumnBox:
        style = _text(cell).style
        plain = cell.copy()
        resolve_percentages(plain, _first(self.tables))
        left = cell.content_box_x()
        return ColumnBox(
            left=left,
            width=left + cell.width - left,
            above=cell.border_top_width + plain.padding_top,
            below=cell.border_bottom_width + plain.padding_bottom,
            align=_align(cell.style),
            rtl=cell.style["direction"] == "rtl",
            valign=cell.style["vertical_align"],
            wraps=style["white_space"] != "nowrap",
            breaks_words=style["overflow_wrap"] in ("anywhere", "break-word"),
            style=style,
        )

    def shaper(self, number: int) -> Shaper:
        """Return the shaper of a column. Columns with the same style share one."""
        style = self.columns[number].style
        return self._shapers.setdefault(style_key(style), Shaper(style, number, self.assets))

    def excess(self, row: Any) -> tuple[float, float]:
        """Return the extra space of the cells of `row` above and below their text, such as wider collapsed borders."""
        cells = list(zip(row.children, self.rows[1].children, strict=True))
        above = {round(a.border_top_width - b.border_top_width, 6) for a, b in cells}
        below = {round(a.border_bottom_width - b.border_bottom_width, 6) for a, b in cells}
        if len(above) > 1 or len(below) > 1:
            raise unsupported_template("different borders within a row")
        return above.pop(), below.pop()

    @property
    def room(self) -> float:
        """Height available for rows on every page except the first, in pixels."""
        spaces = [
            page.content_box_y() + page.height - _body(table).children[0].position_y
            for page, table in zip(self.pages, self.tables, strict=True)
            if table
        ]
        return float(min(spaces[1:], default=0)) - self.spacing

    # --- painting ---

    def page_kinds(self) -> list[PageKind]:
        """Return the kinds of pages. This removes the boxes of the rows from their pages."""
        return [self._page_kind(page, table) for page, table in zip(self.pages, self.tables, strict=True)]

    def _page_kind(self, page: Any, table: Any) -> PageKind:
        start = _body(table).children[0].position_y if table else None
        shift = table.column_positions[0] - _first(self.tables).column_positions[0] if table else 0.0
        margins = [box for box in page.children if isinstance(box, boxes.MarginBox)]
        if table:
            _body(table).children = ()
        flow = page.copy_with_children([box for box in page.children if box not in margins])
        form = self._painted(page, lambda stream: draw_page(flow, stream))
        bottom = page.content_box_y() + page.height
        size = page.margin_width(), page.margin_height()
        return PageKind(form, [self._margin(box, page) for box in margins], start, shift, bottom, *size)

    def _margin(self, box: Any, page: Any) -> Margin:
        content = box.style["content"]
        numbers = [value for kind, value in content if kind == "counter()"] if isinstance(content, tuple) else []
        if not {name for name, *_ in numbers} & {"page", "pages"}:
            return Margin(self._painted(page, lambda stream: _draw(stream, box, page)))
        texts = [child for child in box.descendants() if isinstance(child, boxes.TextBox)]
        if len(texts) != 1:
            raise unsupported_template("page numbers on more than one line")
        (text,) = texts
        parts = _parts(content, text.text)
        up = page.margin_height() - text.position_y - text.baseline
        place = (box.content_box_x(), box.width, up, _align(box.style))
        text.text = ""
        return Margin(self._painted(page, lambda stream: _draw(stream, box, page)), parts, text.style, *place)

    def decoration(self, row: Any, height: float) -> bytes:
        """Return the operators for the backgrounds and borders of a row of this height, with its upper edge at 0."""
        copy = row.deepcopy()
        copy.translate(dy=-row.position_y)
        for cell in copy.children:
            cell.padding_bottom += height - cell.border_height()
        copy.height = height
        layout_box_backgrounds(self.pages[0], copy, lambda **_: None)
        stream = self.assets.stream(BoxStream, (0, 0, self.pages[0].margin_width(), self.pages[0].margin_height()))
        draw_background(stream, copy.background)
        for cell in copy.children:
            draw_background(stream, cell.background)
        if self.collapse:
            self._grid(stream, row, height)
        else:
            for cell in copy.children:
                draw_border(stream, cell)
        return WHOLE.sub(rb"\1", joined(stream))

    def _grid(self, stream: BoxStream, row: Any, height: float) -> None:
        """Draw the collapsed borders at both sides of each cell and below the row."""
        table = _first(self.tables)
        vertical, horizontal = table.collapsed_border_grid
        place = self.rows.index(row) + sum(len(group.children) for group in table.children if group.is_header)
        edges = [*table.column_positions, table.column_positions[-1] + table.column_widths[-1]]
        lines = [(*vertical[place][x], "left", (edge, 0, edge, height)) for x, edge in enumerate(edges)]
        lines += [
            (*horizontal[place + 1][x], "top", (edges[x], height, edges[x + 1], height)) for x in range(len(edges) - 1)
        ]
        half = max((width for _, (_, width, _) in horizontal[place + 1]), default=0) / 2
        for _, (style, width, color), side, (x1, y1, x2, y2) in sorted(lines, key=lambda line: line[0]):
            if width and color.alpha:
                with stream.stacked():
                    ends = (x1, y1 - half, x2, y2 + half) if x1 == x2 else (x1 - half, y1, x2 + half, y2)
                    draw_line(stream, *ends, width, style, styled_color(style, color, side))

    def _painted(self, page: Any, draw: Any) -> bytes:
        stream = self.assets.stream(BoxStream, (0, 0, page.margin_width(), page.margin_height()))
        stream.transform(a=POINT, d=-POINT, f=page.margin_height() * POINT)
        draw(stream)
        return joined(stream)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Metadata of the document by PDF key."""
        found = self.document.metadata
        created = _w3c_date_to_pdf(found.created, "created") if found.created else None
        values = {"Title": found.title, "Author": ", ".join(found.authors), "CreationDate": created}
        values |= {"Producer": f"WeasyPrint {VERSION}", "Lang": found.lang}
        return {name: value for name, value in values.items() if value}

    @property
    def bookmarks(self) -> list[tuple[int, str, int, float, float]]:
        """Level, title, page (from 0) and position of each bookmark in the layout."""
        return [
            (level, label, number, x, y)
            for number, page in enumerate(self.document.pages)
            for level, label, (x, y), _ in page.bookmarks
        ]


def _draw(stream: BoxStream, box: Any, page: Any) -> None:
    draw_stacking_context(stream, StackingContext.from_box(box, page))


def _parts(content: Any, text: str) -> list[str | tuple[str, str]]:
    """Return the parts of `content`, with the value of each string() taken from the rendered `text`."""
    parts: list[str | tuple[str, str]] = []
    for place, (kind, value) in enumerate(content):
        if kind == "counter()":
            parts.append((value[0], value[1]))
            text = text.lstrip("0123456789ivxlcdmIVXLCDM")
        elif kind == "string":
            parts.append(value)
            text = text.removeprefix(value)
        else:
            following = next((value for kind, value in content[place + 1 :] if kind == "string"), None)
            head = text.partition(following)[0] if following else text.rstrip("0123456789")
            parts.append(head)
            text = text.removeprefix(head)
    return parts


def counted(number: int, style: str) -> str:
    """Format `number` in a CSS counter style."""
    return str(number) if style == "decimal" else str(UA_COUNTER_STYLE.render_value(number, style))


def _table(page: Any) -> Any:
    return next((box for box in page.descendants() if isinstance(box, boxes.TableBox)), None)


def _body(table: Any) -> Any:
    groups = [group for group in table.children if not group.is_header and not group.is_footer]
    if len(groups) != 1 or len(groups) + 1 < len(table.children):
        raise unsupported_template("a table structure other than one thead and one tbody")
    return groups[0]


def _first(tables: Sequence[Any]) -> Any:
    found = next((table for table in tables if table is not None), None)
    if found is None:
        raise unsupported_template("no table")
    return found


def _text(cell: Any) -> Any:
    found = next((box for box in cell.descendants() if isinstance(box, boxes.TextBox)), None)
    if found is None:
        raise unsupported_template("a cell without its text")
    return found


def _align(style: Any) -> str:
    align = style["text_align_all"]
    sides = {"start": "left", "end": "right"} if style["direction"] == "ltr" else {"start": "right", "end": "left"}
    return sides.get(align, str(align))
