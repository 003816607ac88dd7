"""Checks whether the writer supports a template. An unsupported one is refused with a reason: a wrong file is worse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext
from weasyprint.formatting_structure import boxes

from exports.errors import FormatFailed
from exports.formats.pdf.internals.shaping import style_key

PERIOD = 6
"""Maximum number of rows after which the styles of rows must repeat."""
ROWS = re.compile(r"(?:^|[\s,>~+}])tr[^\s,{>~+]*?:([a-z-]+)(?:\(([^)]*)\))?")
"""Matches a selector of rows by position: pseudo-class and argument."""
STYLES = re.compile(r"<style[^>]*>.*?</style>|\bstyle=(?:\"[^\"]*\"|'[^']*')", re.DOTALL)
STEPS = re.compile(r"\s*(even|odd|[+-]?\d*n)?\s*([+-]?\s*\d+)?\s*")
CELL = {
    "position": ("static",),
    "transform": ((),),
    "opacity": (1,),
    "overflow": ("visible",),
    "outline_style": ("none",),
    "min_height": ("auto",),
    "max_lines": ("none",),
    "string_set": ("none",),
    "bookmark_level": ("none",),
    "white_space": ("normal", "nowrap", "pre-line"),
    "text_align_all": ("start", "end", "left", "right", "center"),
}
"""Supported styles of cells."""
ROW = {
    "break_inside": ("avoid",),
    "break_after": ("auto",),
    "position": ("static",),
    "transform": ((),),
    "opacity": (1,),
    "outline_style": ("none",),
    "height": ("auto",),
}
"""Supported styles of rows."""
PAGE = {"marks": ((),), "counter_increment": ((("page", 1),),), "counter_set": ((),)}
"""Supported styles of pages."""
COLORS = re.compile(r"\b(?:ok)?(?:lab|lch)\(|\bcolor\(")
"""Matches color functions that need more than numbers in the file."""
WORDS = {
    "visibility": ("visible",),
    "text_decoration_line": ("none",),
    "text_transform": ("none",),
    "word_break": ("normal",),
    "hyphens": ("manual", "none"),
}
"""Supported styles of text in cells."""
SIDES = ("top", "right", "bottom", "left")
COLUMN_PROPERTIES = ("padding_top", "padding_right", "padding_bottom", "padding_left")
"""Properties that must be equal in all cells of a column."""


def unsupported_template(what: str) -> FormatFailed:
    words = gettext("The PDF template is not supported: it has %(what)s. We have been notified. Choose another format.")
    return FormatFailed(words % {"what": what})


def check(html: str, page: Any, table: Any, rows: Sequence[Any], texts: Sequence[Sequence[str]]) -> None:
    """Raise FormatFailed if rows cannot be written with the template. `page` is the page that contains `table`."""
    for fault in (*_source(html), *_page(page), *_around_table(page, table), *_table(table), *_rows(rows, texts)):
        raise unsupported_template(fault)


def check_end(page: Any, tables: Sequence[Any]) -> None:
    """Raise FormatFailed if the width of the table differs between pages, or if text follows it on the last one."""
    table = tables[-1]
    if len({tuple(round(width, 6) for width in each.column_widths) for each in tables if each}) > 1:
        raise unsupported_template("different column widths on different pages")
    inside = set(table.descendants()) if table else set()
    flow = [box for box in page.children if not isinstance(box, boxes.MarginBox)]
    words = [text for box in flow for text in box.descendants() if isinstance(text, boxes.TextBox)]
    if not table or any(text not in inside and text.position_y >= table.position_y for text in words):
        raise unsupported_template("text after the table")


def _source(html: str) -> Iterator[str]:
    """Yield faults that only the source shows: row styles by position that the sample rows may not reveal."""
    styles = re.sub(r"/\*.*?\*/", "", "".join(STYLES.findall(html)), flags=re.DOTALL)
    if COLORS.search(styles):
        yield "colors in a color space other than sRGB"
    for kind, which in ROWS.findall(styles):
        if kind in ("nth-child", "nth-of-type"):
            found = STEPS.fullmatch(which)
            step = found and (2 if found[1] in ("even", "odd") else _number((found[1] or "0n").removesuffix("n")))
            if not found or not step or abs(step) > PERIOD or step == 1:
                yield f"a style for the rows {which}"
        elif kind not in ("first-child", "is", "where"):
            yield f"a style for rows that are :{kind}"


def _number(digits: str) -> int:
    return int(digits + "1") if digits in ("", "+", "-") else int(digits)


def _page(page: Any) -> Iterator[str]:
    yield from _style_faults("pages", page.style, PAGE)
    contents = [box.style["content"] for box in page.children if isinstance(box, boxes.MarginBox)]
    if any(kind == "element()" for content in contents if isinstance(content, tuple) for kind, *_ in content):
        yield "running elements in the margin"


def _around_table(page: Any, table: Any) -> Iterator[str]:
    for box in _path(page, table)[1:]:
        if isinstance(box, boxes.FlexContainerBox | boxes.GridContainerBox):
            yield "a table in a flex or grid container"
        if box.style["transform"] or box.style["opacity"] != 1:
            yield "a table with a transform or opacity"
        if box is not table and (box.background or _has_border(box.style)):
            yield "a border or background around the table"


def _path(box: Any, below: Any) -> list[Any]:
    """Return the boxes from `box` down to `below`; empty if `below` is not inside `box`."""
    if box is below:
        return [box]
    paths = (_path(child, below) for child in getattr(box, "children", ()))
    return next(([box, *path] for path in paths if path), [])


def _table(table: Any) -> Iterator[str]:
    collapse = table.style["border_collapse"] == "collapse"
    groups = [
        *table.children,
        *table.column_groups,
        *(column for group in table.column_groups for column in group.children),
    ]
    if table.background or any(box.background for box in groups if not getattr(box, "is_header", False)):
        yield "a background behind the table, its body or a column"
    if not collapse and _has_border(table.style):
        yield "a border around the table"
    parts = [table, *groups, *(row for group in table.children for row in group.children)]
    if collapse and any(_has_border(box.style) for box in parts):
        yield "collapsed borders of elements other than cells"
    if collapse:
        yield from _collapsed(table.children)


def _collapsed(groups: Sequence[Any]) -> Iterator[str]:
    """Yield faults of collapsed borders.

    The border above a row is drawn before the row, so no background may cover it. It is drawn in pieces, so it must
    be solid.
    """
    rows = [row for group in groups if not group.is_header for row in group.children]
    cells = [cell for group in groups for row in group.children for cell in row.children]
    if any(box.background for row in rows for box in (row, *row.children)):
        yield "backgrounds in a table with collapsed borders"
    if any(cell.style[f"border_{side}_style"] not in ("none", "solid") for cell in cells for side in SIDES):
        yield "collapsed borders that are not solid"


def _has_border(style: Any) -> bool:
    return any(style[f"border_{side}_width"] for side in SIDES)


def _rows(rows: Sequence[Any], texts: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = list(zip(*texts, strict=True))
    if len(rows) != len(lines):
        yield "a different number of rows than the data"
        return
    first = rows[1].children
    for row, line in zip(rows, lines, strict=True):
        if len(row.children) != len(line) or any(cell.colspan != 1 or cell.rowspan != 1 for cell in row.children):
            yield "a different number of cells than fields"
            return
        yield from _style_faults("rows", row.style, ROW)
        for cell, regular, text in zip(row.children, first, line, strict=True):
            yield from _cell(cell, regular, text)


def _cell(cell: Any, regular: Any, text: str) -> Iterator[str]:
    found = [box for line in cell.children for box in getattr(line, "children", [line])]
    if "".join(getattr(box, "text", "\0") for box in found) != text or (len(text) == 1 < len(cell.children)):
        yield "cells with other content than the value of the field"
        return
    yield from _style_faults("cells", cell.style, CELL)
    if cell.computed_height != "auto":
        yield "cells with a height"
    if cell.style["text_indent"].value:
        yield "cells with a text indent"
    if any(cell.style[name] != regular.style[name] for name in COLUMN_PROPERTIES):
        yield "different paddings within a column"
    for box in found:
        if not isinstance(box, boxes.TextBox) or style_key(box.style) != style_key(_first(regular).style):
            yield "different text styles within a column"
            return
        yield from _style_faults("cells", box.style, WORDS)


def _style_faults(what: str, style: Any, allowed: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    for name, values in allowed.items():
        if style[name] not in values:
            yield f"{what} with {name.replace('_', '-')}: {style[name]}"


def _first(cell: Any) -> Any:
    return next((box for box in cell.descendants() if isinstance(box, boxes.TextBox)), cell)
