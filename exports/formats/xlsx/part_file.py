"""The file of a part: compressed runs of rows, of their links, and of texts too long for a cell, in order."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from django.utils.formats import number_format
from django.utils.translation import gettext

from exports.formats.deflate import Segment, blocks, inflated, segment
from exports.formats.xlsx import grid
from exports.formats.xlsx.cells import escaped
from exports.formats.xlsx.links import Link, packed

ROWS, LONG, LINKS = b"R", b"L", b"H"
MARK = re.compile(rb"\0(\d+)\0")
HEAD = struct.Struct("<cQLLQQ")
FULL = 1 << 20
"""Bytes of rows per run: enough to compress well, few enough to compress again if a sheet ends within the run."""


class Run(NamedTuple):
    """The header of a run: `rows` rows, or that many texts or links. The bytes of `segment` follow it in the file.

    `first` is the number given to its first row, from 0, over all sheets of the workbook. The links of a run of rows
    come before it.
    """

    kind: bytes
    first: int
    rows: int
    segment: Segment


class Body:
    """Writes the file of a part. A run ends where a sheet does.

    `beside` is the name of the side file for long texts. `first` is the part's first row, from 0, over all sheets.
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
        self._links: list[Link] = []

    def keep(self, text: str) -> str:
        """Store a text that is too long for a cell. Return a mark for the cell, which `add` replaces."""
        self._kept.append(text)
        return f"\0{len(self._kept) - 1}\0"

    def add(self, lines: bytes, rows: int, links: Sequence[Link] = ()) -> None:
        """Add rows, one per line, with their links.

        Marks are replaced, and their texts are numbered in the order of the rows.
        """
        if self._kept:
            lines = MARK.sub(self._replacement, lines)
            self._kept.clear()
        while rows > (room := grid.room(self._first + self.rows)):
            here = lines.splitlines(keepends=True)
            self._take(b"".join(here[:room]), room, [link for link in links if link.row < room])
            self.flush()
            lines, rows = b"".join(here[room:]), rows - room
            links = [link._replace(row=link.row - room) for link in links if link.row >= room]
        self._take(lines, rows, links)
        if self._size >= FULL or rows == room:
            self.flush()

    def _take(self, lines: bytes, rows: int, links: Sequence[Link]) -> None:
        self._links += [link._replace(row=self._held + link.row) for link in links]
        self._lines.append(lines)
        self._size += len(lines)
        self._held += rows
        self.rows += rows

    def _replacement(self, mark: re.Match[bytes]) -> bytes:
        """Return the words that replace a mark. They name the text by its row and its place in that row."""
        text = self._kept[int(mark[1])]
        row = self._first + self.rows + mark.string.count(b"\n", 0, mark.start()) + 1
        self._named = row, self._named[1] + 1 if self._named[0] == row else 1
        name, size = f"{row}-{self._named[1]}", number_format(len(text), force_grouping=True)
        words = {"size": size, "name": name, "file": self._beside}
        heading = gettext("Text %(name)s: %(size)s characters") % words
        self._texts.append(f"=== {heading} ===\n{text}\n\n".encode())
        return escaped((gettext("%(size)s characters: text %(name)s in %(file)s") % words).encode())

    def flush(self) -> None:
        self._put(LINKS, 0, len(self._links), [packed(self._links)] if self._links else [])
        self._links.clear()
        self._put(ROWS, self._first + self.rows - self._held, self._held, self._lines)
        self._put(LONG, 0, len(self._texts), self._texts)
        self._size = self._held = 0

    def _put(self, kind: bytes, first: int, count: int, pieces: list[bytes]) -> None:
        if pieces:
            packed, facts = segment(b"".join(pieces))
            pieces.clear()
            self._out.write(HEAD.pack(kind, first, count, *facts))
            self._out.write(packed)


def runs(file: BinaryIO) -> Iterator[Run]:
    """Yield the runs of a part's file, from its current position. Read each run's bytes before taking the next run."""
    while head := file.read(HEAD.size):
        kind, first, rows, crc, size, packed = HEAD.unpack(head)
        yield Run(kind, first, rows, Segment(crc, size, packed))


def unpacked(file: BinaryIO, run: Run) -> Iterator[bytes]:
    """Yield the uncompressed bytes of a run, in blocks."""
    return inflated(blocks(file, run.segment.packed))
