"""Which templates the writer can follow. What it cannot it refuses, by name: better no file than a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext
from weasyprint.formatting_structure import boxes

from exports.errors import FormatFailed
from exports.formats.pdf.internals.shaping import style_key

PERIOD = 6
"""Rows after which a table's looks must repeat at the latest."""
ROWS = re.compile(r"(?:^|[\s,>~+}])tr[^\s,{>~+]*?:([a-z-]+)(?:\(([^)]*)\))?")
"""A selector of rows by their place: what kind of place, and which."""
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
"""What cells may be like."""
ROW = {
    "break_inside": ("avoid",),
    "break_after": ("auto",),
    "position": ("static",),
    "transform": ((),),
    "opacity": (1,),
    "outline_style": ("none",),
    "height": ("auto",),
}
"""What rows may be like."""
PAGE = {"marks": ((),), "counter_increment": ((("page", 1),),), "counter_set": ((),)}
"""What pages may be like."""
COLORS = re.compile(r"\b(?:ok)?(?:lab|lch)\(|\bcolor\(")
"""Colours that need more of a file than numbers."""
WORDS = {
    "visibility": ("visible",),
    "text_decoration_line": ("none",),
    "text_transform": ("none",),
    "word_break": ("normal",),
    "hyphens": ("manual", "none"),
}
"""What their words may be like."""
SIDES = ("top", "right", "bottom", "left")
ALIKE = ("padding_top", "padding_right", "padding_bottom", "padding_left")
"""What is the same in all cells of a column."""


def unfit(what: str) -> FormatFailed:
    words = gettext("The design of our PDF cannot be written: it has %(what)s. We have been told; take another format.")
    return FormatFailed(words % {"what": what})


def check(html: str, page: Any, table: Any, rows: Sequence[Any], texts: Sequence[Sequence[str]]) -> None:
    """Raise FormatFailed for a template that rows cannot be written with; `page` is the one that has `table`."""
    for fault in (*_places(html), *_page(page), *_around(page, table), *_frame(table), *_rows(rows, texts)):
        raise unfit(fault)


def check_end(page: Any, tables: Sequence[Any]) -> None:
    """Raise FormatFailed when pages have the table in several widths, or the last has words after it."""
    table = tables[-1]
    if len({tuple(round(width, 6) for width in each.column_widths) for each in tables if each}) > 1:
        raise unfit("pages of several widths")
    inside = set(table.descendants()) if table else set()
    flow = [box for box in page.children if not isinstance(box, boxes.MarginBox)]
    words = [text for box in flow for text in box.descendants() if isinstance(text, boxes.TextBox)]
    if not table or any(text not in inside and text.position_y >= table.position_y for text in words):
        raise unfit("words after the table")


def _places(html: str) -> Iterator[str]:
    """What only the template's own words say: rows that look different by a place that a few rows do not show."""
    styles = re.sub(r"/\*.*?\*/", "", "".join(STYLES.findall(html)), flags=re.DOTALL)
    if COLORS.search(styles):
        yield "colours of other spaces than sRGB"
    for kind, which in ROWS.findall(styles):
        if kind in ("nth-child", "nth-of-type"):
            found = STEPS.fullmatch(which)
            step = found and (2 if found[1] in ("even", "odd") else _number((found[1] or "0n").removesuffix("n")))
            if not found or not step or abs(step) > PERIOD or step == 1:
                yield f"a look for the rows {which}"
        elif kind not in ("first-child", "is", "where"):
            yield f"a look for rows that are :{kind}"


def _number(digits: str) -> int:
    return int(digits + "1") if digits in ("", "+", "-") else int(digits)


def _page(page: Any) -> Iterator[str]:
    yield from _unlike("pages", page.style, PAGE)
    contents = [box.style["content"] for box in page.children if isinstance(box, boxes.MarginBox)]
    if any(kind == "element()" for content in contents if isinstance(content, tuple) for kind, *_ in content):
        yield "elements that run in the margin"


def _around(page: Any, table: Any) -> Iterator[str]:
    for box in _path(page, table)[1:]:
        if isinstance(box, boxes.FlexContainerBox | boxes.GridContainerBox):
            yield "a table in boxes that stretch"
        if box.style["transform"] or box.style["opacity"] != 1:
            yield "a table that is moved, turned or faint"
        if box is not table and (box.background or _edged(box.style)):
            yield "a frame or a background around the table"


def _path(box: Any, below: Any) -> list[Any]:
    """The boxes from `box` down to `below`; none when it is not there."""
    if box is below:
        return [box]
    paths = (_path(child, below) for child in getattr(box, "children", ()))
    return next(([box, *path] for path in paths if path), [])


def _frame(table: Any) -> Iterator[str]:
    collapse = table.style["border_collapse"] == "collapse"
    groups = [
        *table.children,
        *table.column_groups,
        *(column for group in table.column_groups for column in group.children),
    ]
    if table.background or any(box.background for box in groups if not getattr(box, "is_header", False)):
        yield "a background behind the table, its body or a column"
    if not collapse and _edged(table.style):
        yield "a frame around the table"
    parts = [table, *groups, *(row for group in table.children for row in group.children)]
    if collapse and any(_edged(box.style) for box in parts):
        yield "collapsed borders of anything but cells"
    if collapse:
        yield from _collapsed(table.children)


def _collapsed(groups: Sequence[Any]) -> Iterator[str]:
    """The rule above a row is drawn before the row: no background may cover it, and it must look the same in pieces."""
    rows = [row for group in groups if not group.is_header for row in group.children]
    cells = [cell for group in groups for row in group.children for cell in row.children]
    if any(box.background for row in rows for box in (row, *row.children)):
        yield "backgrounds in a table of collapsed borders"
    if any(cell.style[f"border_{side}_style"] not in ("none", "solid") for cell in cells for side in SIDES):
        yield "collapsed borders that are not solid"


def _edged(style: Any) -> bool:
    return any(style[f"border_{side}_width"] for side in SIDES)


def _rows(rows: Sequence[Any], texts: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = list(zip(*texts, strict=True))
    if len(rows) != len(lines):
        yield "more or fewer rows than there are"
        return
    first = rows[1].children
    for row, line in zip(rows, lines, strict=True):
        if len(row.children) != len(line) or any(cell.colspan != 1 or cell.rowspan != 1 for cell in row.children):
            yield "more or fewer cells than there are fields"
            return
        yield from _unlike("rows", row.style, ROW)
        for cell, usual, text in zip(row.children, first, line, strict=True):
            yield from _cell(cell, usual, text)


def _cell(cell: Any, usual: Any, text: str) -> Iterator[str]:
    found = [box for line in cell.children for box in getattr(line, "children", [line])]
    if "".join(getattr(box, "text", "\0") for box in found) != text or (len(text) == 1 < len(cell.children)):
        yield "cells whose words are not the field's alone"
        return
    yield from _unlike("cells", cell.style, CELL)
    if cell.computed_height != "auto":
        yield "cells of a height"
    if cell.style["text_indent"].value:
        yield "cells with an indent"
    if any(cell.style[name] != usual.style[name] for name in ALIKE):
        yield "cells of one column with several paddings"
    for box in found:
        if not isinstance(box, boxes.TextBox) or style_key(box.style) != style_key(_first(usual).style):
            yield "cells of one column in several styles"
            return
        yield from _unlike("cells", box.style, WORDS)


def _unlike(what: str, style: Any, allowed: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    for name, values in allowed.items():
        if style[name] not in values:
            yield f"{what} with {name.replace('_', '-')}: {style[name]}"


def _first(cell: Any) -> Any:
    return next((box for box in cell.descendants() if isinstance(box, boxes.TextBox)), cell)
