"""The file of a part: runs of rows, packed, and the texts that no cell holds, in the order in which they came."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from django.utils.formats import number_format
from django.utils.translation import gettext

from exports.formats.deflate import Segment, blocks, inflated, segment
from exports.formats.xlsx import grid
from exports.formats.xlsx.cells import escaped

ROWS, LONG = b"R", b"L"
MARK = re.compile(rb"\0(\d+)\0")
HEAD = struct.Struct("<cQLLQQ")
FULL = 1 << 20
"""Bytes of rows that make a run: enough to pack well, few enough to pack again where a sheet ends within it."""


class Run(NamedTuple):
    """What comes next in the file: that many rows, or texts. Its bytes follow.

    `first` is the row that its first line is numbered as, from 0, over all sheets of the workbook.
    """

    kind: bytes
    first: int
    rows: int
    segment: Segment


class Body:
    """Writes the file of a part. `beside` is the name of the file that its long texts will stand in.

    `first` is the part's first row, from 0, over all sheets. A run ends where a sheet does.
    """

    def __init__(self, out: BinaryIO, beside: str, first: int = 0) -> None:
        self.rows = 0
        self._first = first
        self._out = out
        self._beside = beside
        self._lines: list[bytes] = []
        self._size = self._held = 0
        self._kept: list[str] = []
        self._named = (-1, 0)
        self._texts: list[bytes] = []

    def keep(self, text: str) -> str:
        """Keep a text that no cell holds. Returns a mark for the cell, which the line takes with it to `add`."""
        self._kept.append(text)
        return f"\0{len(self._kept) - 1}\0"

    def add(self, lines: bytes, rows: int) -> None:
        """Rows, each a line. What the marks in them stand for is numbered in the order of the rows."""
        if self._kept:
            lines = MARK.sub(self._noted, lines)
            self._kept.clear()
        while rows > (room := grid.room(self._first + self.rows)):
            here = lines.splitlines(keepends=True)
            self._take(b"".join(here[:room]), room)
            self.flush()
            lines, rows = b"".join(here[room:]), rows - room
        self._take(lines, rows)
        if self._size >= FULL or rows == room:
            self.flush()

    def _take(self, lines: bytes, rows: int) -> None:
        self._lines.append(lines)
        self._size += len(lines)
        self._held += rows
        self.rows += rows

    def _noted(self, mark: re.Match[bytes]) -> bytes:
        """What the cell says instead of the text, which is named by its row of the export and its place in that row."""
        text = self._kept[int(mark[1])]
        row = self._first + self.rows + mark.string.count(b"\n", 0, mark.start()) + 1
        self._named = row, self._named[1] + 1 if self._named[0] == row else 1
        name, size = f"{row}-{self._named[1]}", number_format(len(text), force_grouping=True)
        words = {"size": size, "name": name, "file": self._beside}
        heading = gettext("Text %(name)s: %(size)s characters") % words
        self._texts.append(f"=== {heading} ===\n{text}\n\n".encode())
        return escaped((gettext("%(size)s characters: text %(name)s in %(file)s") % words).encode())

    def flush(self) -> None:
        self._put(ROWS, self._first + self.rows - self._held, self._held, self._lines)
        self._put(LONG, 0, len(self._texts), self._texts)
        self._size = self._held = 0

    def _put(self, kind: bytes, first: int, count: int, pieces: list[bytes]) -> None:
        if pieces:
            packed, told = segment(b"".join(pieces))
            pieces.clear()
            self._out.write(HEAD.pack(kind, first, count, *told))
            self._out.write(packed)


def runs(file: BinaryIO) -> Iterator[Run]:
    """What is in the file of a part, from where it stands. Take the bytes of each run before the next one."""
    while head := file.read(HEAD.size):
        kind, first, rows, crc, size, packed = HEAD.unpack(head)
        yield Run(kind, first, rows, Segment(crc, size, packed))


def unpacked(file: BinaryIO, run: Run) -> Iterator[bytes]:
    """The bytes of a run, in blocks."""
    return inflated(blocks(file, run.segment.packed))
