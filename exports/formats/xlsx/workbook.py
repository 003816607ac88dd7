"""The files of a workbook, and its sheets: as many as the rows need, each with a heading row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO

from django.utils.translation import get_language_bidi

from exports.formats.archive import Entry, Zip
from exports.formats.base import RenderContext
from exports.formats.values import encode, for_xml
from exports.formats.xlsx import grid, markup
from exports.formats.xlsx.layout import layout
from exports.formats.xlsx.links import Link, linked_rows
from exports.formats.xlsx.part_file import Run, unpacked
from exports.formats.xlsx.styles import Styles

STYLE = re.compile(rb' s="(\d+)"')
"""The style attribute of a cell. It never matches inside text, where quotes are escaped."""
NAME_UNITS = 24
"""Maximum length of the title in a sheet's name, in UTF-16 code units: Excel's limit of 31, less room for a number."""


class Workbook:
    """A workbook, written to `archive` sheet by sheet."""

    def __init__(self, archive: Zip, context: RenderContext) -> None:
        self._archive, self._context = archive, context
        self._labels = [str(column.label) for column in context.columns]
        widths = context.layout.get("widths") or layout(context.columns, ())["widths"]
        self._head = partial(markup.sheet_head, self._labels, widths, right_to_left=get_language_bidi())
        self._name = sheet_name(context.title)
        self._opened = ExitStack()
        self._entry: Entry | None = None
        self._rows: list[int] = []
        """Rows of each sheet, including the heading row."""
        self._taken = 0
        """Rows of all sheets, excluding heading rows."""
        self._linked_rows = linked_rows(context.columns)
        self._links: dict[int, list[tuple[str, str]]] = defaultdict(list)
        """Links of each sheet that is not finished, by its number from 0: the cell, and the target."""
        self._put("_rels/.rels", markup.PACKAGE)
        self._put("docProps/core.xml", markup.properties(context.title, context.owner, context.requested_at))
        self._put("docProps/app.xml", markup.APP)

    def add(self, file: BinaryIO, run: Run, styles: Mapping[int, int]) -> None:
        """Add a run's rows: as they are if their numbers are right, else renumbered and compressed again.

        `styles` maps the run's style numbers to those of this workbook, if they differ.
        """
        if run.first == self._taken and not styles:
            self._sheet().append(file, run.segment)
            self._count(run.rows)
            return
        left = b"".join(unpacked(file, run)).splitlines(keepends=True)
        if styles:
            left = [_restyled(line, styles) for line in left]
        while left:
            sheet, room = self._sheet(), grid.room(self._taken)
            numbers = grid.numbers(self._taken, len(left[:room]))
            sheet.write(b"".join(map(grid.renumbered, left, numbers)))
            self._count(len(left[:room]))
            left = left[room:]

    def link(self, links: Iterable[Link]) -> None:
        """Note the links of the run that is added next."""
        for row, letters, target in links:
            place = self._taken + row
            here = grid.row_of_sheet(place)
            if here < self._linked_rows:
                self._links[grid.sheet_of(place)].append((f"{letters}{here + 2}", target))

    def _count(self, rows: int) -> None:
        self._rows[-1] += rows
        self._taken += rows

    def finish(self, styles: Styles) -> None:
        if not self._rows:
            self._sheet()
        self._end_sheet()
        names = [self._name, *[f"{self._name} {number}" for number in range(2, len(self._rows) + 1)]]
        areas = [markup.area(len(self._labels), rows) for rows in self._rows]
        self._put("xl/styles.xml", styles.xml())
        self._put("xl/workbook.xml", markup.workbook(names, areas))
        self._put("xl/_rels/workbook.xml.rels", markup.workbook_relations(len(names)))
        self._put("[Content_Types].xml", markup.content_types(len(names)))

    def _sheet(self) -> Entry:
        """Return the current sheet, or a new one if it is full."""
        if self._entry and self._rows[-1] < grid.SHEET_ROWS:
            return self._entry
        self._end_sheet()
        self._rows.append(1)
        self._entry = self._opened.enter_context(self._archive.entry(f"xl/worksheets/sheet{len(self._rows)}.xml"))
        here = min(self._context.rows - self._taken, grid.SHEET_ROWS - 1)
        self._entry.write(self._head(1 + max(here, 0)))
        return self._entry

    def _end_sheet(self) -> None:
        if self._entry:
            links = self._links.pop(len(self._rows) - 1, [])
            self._entry.write(markup.sheet_tail(len(self._labels), self._rows[-1], [cell for cell, _ in links]))
            self._opened.close()
            if links:
                targets = markup.link_relations(target for _, target in links)
                self._put(f"xl/worksheets/_rels/sheet{len(self._rows)}.xml.rels", targets)

    def _put(self, name: str, content: str) -> None:
        with self._archive.entry(name) as entry:
            entry.write(encode(content))


def _restyled(line: bytes, styles: Mapping[int, int]) -> bytes:
    return STYLE.sub(lambda found: b' s="%d"' % styles.get(int(found[1]), int(found[1])), line)


def sheet_name(title: str) -> str:
    """Return a sheet name that Excel accepts."""
    plain = re.sub(r"[\[\]:*?/\\']", " ", for_xml(title)).encode("utf-16-le")
    name = plain[: NAME_UNITS * 2].decode("utf-16-le", "ignore").strip() or "Rows"
    return f"{name} 1" if name.casefold() == "history" else name  # reserved by Excel
