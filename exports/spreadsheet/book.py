"""The files of a workbook, and its sheets: as many as the rows need, each with the headings."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import BinaryIO

from django.utils.translation import get_language_bidi

from exports.archive import Entry, Zip
from exports.formats.base import RenderContext
from exports.formats.values import encode, for_xml
from exports.spreadsheet import markup
from exports.spreadsheet.body import Run, unpacked
from exports.spreadsheet.layout import layout
from exports.spreadsheet.styles import Styles

SHEET_ROWS = 1_048_576
"""The rows of a sheet, that of the headings among them."""
SHEET_COLUMNS = 16_384
NAME_UNITS = 24
"""What a sheet's name takes of the title, in UTF-16 code units: Excel's limit of 31 and room for a number."""


class Book:
    """A workbook that is written to `archive`, sheet after sheet."""

    def __init__(self, archive: Zip, context: RenderContext) -> None:
        self._archive = archive
        self._labels = [str(column.label) for column in context.columns]
        widths = context.layout.get("widths") or layout(context.columns, ())["widths"]
        self._head = markup.sheet_head(self._labels, widths, right_to_left=get_language_bidi())
        self._name = sheet_name(context.title)
        self._opened = ExitStack()
        self._entry: Entry | None = None
        self._rows: list[int] = []
        """How many each sheet has, with the headings."""
        self._put("_rels/.rels", markup.PACKAGE)
        self._put("docProps/core.xml", markup.properties(context.title, context.owner, context.requested_at))
        self._put("docProps/app.xml", markup.APP)

    def add(self, file: BinaryIO, run: Run) -> None:
        """Take a run's rows as they are; where the sheet ends within them, unpack them and pack them again."""
        sheet = self._sheet()
        if run.rows <= self._room:
            sheet.append(file, run.segment)
            self._rows[-1] += run.rows
            return
        left = b"".join(unpacked(file, run)).splitlines(keepends=True)
        while left:
            sheet, room = self._sheet(), self._room
            sheet.write(b"".join(left[:room]))
            self._rows[-1] += len(left[:room])
            left = left[room:]

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

    @property
    def _room(self) -> int:
        return SHEET_ROWS - self._rows[-1]

    def _sheet(self) -> Entry:
        """The sheet that has room for a row more."""
        if self._entry and self._room:
            return self._entry
        self._end_sheet()
        self._rows.append(1)
        self._entry = self._opened.enter_context(self._archive.entry(f"xl/worksheets/sheet{len(self._rows)}.xml"))
        self._entry.write(self._head)
        return self._entry

    def _end_sheet(self) -> None:
        if self._entry:
            self._entry.write(markup.sheet_tail(len(self._labels), self._rows[-1]))
            self._opened.close()

    def _put(self, name: str, content: str) -> None:
        with self._archive.entry(name) as entry:
            entry.write(encode(content))


def sheet_name(title: str) -> str:
    """What Excel takes as the name of a sheet."""
    plain = re.sub(r"[\[\]:*?/\\']", " ", for_xml(title)).encode("utf-16-le")
    name = plain[: NAME_UNITS * 2].decode("utf-16-le", "ignore").strip() or "Rows"
    return f"{name} 1" if name.casefold() == "history" else name  # which Excel keeps for itself
