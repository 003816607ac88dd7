"""Which templates the writer can follow. What it cannot it refuses, by name: better no file than a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext
from weasyprint.formatting_structure import boxes

from exports.errors import FormatFailed
from exports.pdf.internals.shaping import style_key

PERIOD = 6
"""Rows after which a table's looks must repeat at the latest."""
ROWS = re.compile(r"(?:^|[\s,>~+}])tr[^\s,{>~+]*?:([a-z-]+)(?:\(([^)]*)\))?")
"""A selector of rows by their place: what kind of place, and which."""
STEPS = re.compile(r"\s*(even|odd|[+-]?\d*n)?\s*([+-]?\s*\d+)?\s*")
CELL = {
    "position": ("static",),
    "transform": ((),),
    "opacity": (1,),
    "overflow": ("visible",),
    "outline_style": ("none",),
    "string_set": ("none",),
    "bookmark_level": ("none",),
    "white_space": ("normal", "nowrap", "pre-line"),
    "text_align_all": ("start", "end", "left", "right", "center"),
}
"""What cells may be like."""
WORDS = {
    "visibility": ("visible",),
    "text_decoration_line": ("none",),
    "text_transform": ("none",),
    "word_break": ("normal",),
    "hyphens": ("manual", "none"),
}
"""What their words may be like."""
ALIKE = ("padding_top", "padding_right", "padding_bottom", "padding_left")
"""What is the same in all cells of a column."""


def unfit(what: str) -> FormatFailed:
    words = gettext("The design of our PDF cannot be written: it has %(what)s. We have been told; take another format.")
    return FormatFailed(words % {"what": what})


def check(html: str, table: Any, rows: Sequence[Any], texts: Sequence[Sequence[str]]) -> None:
    """Raise FormatFailed for a template that rows cannot be written with."""
    for fault in (*_places(html), *_frame(table), *_rows(rows, texts)):
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
    """Rows that look different by a place that a few rows do not show."""
    styles = re.sub(r"/\*.*?\*/", "", "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL)), flags=re.DOTALL)
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


def _edged(style: Any) -> bool:
    return any(style[f"border_{side}_width"] for side in ("top", "right", "bottom", "left"))


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
        if row.style["break_inside"] != "avoid":
            yield "rows that break"
        if row.style["transform"] or row.style["height"] != "auto" or row.style["opacity"] != 1:
            yield "rows that are moved, faint or of a height"
        for cell, usual, text in zip(row.children, first, line, strict=True):
            yield from _cell(cell, usual, text)


def _cell(cell: Any, usual: Any, text: str) -> Iterator[str]:
    found = [box for line in cell.children for box in getattr(line, "children", [line])]
    if "".join(getattr(box, "text", "\0") for box in found) != text:
        yield "cells whose words are not the field's alone"
        return
    yield from _unlike(cell.style, CELL)
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
        yield from _unlike(box.style, WORDS)


def _unlike(style: Any, allowed: Mapping[str, tuple[Any, ...]]) -> Iterator[str]:
    for name, values in allowed.items():
        if style[name] not in values:
            yield f"cells with {name.replace('_', '-')}: {style[name]}"


def _first(cell: Any) -> Any:
    return cell.children[0].children[0]
