"""File format of a part: blocks of rows, followed by a trailer about the whole part.

A block starts with the number of rows and the lengths of its two deflated sections. The first section contains the
sizes of the rows (height, length of the operators, whether the row continues the previous one), the second the
operators. A block without rows is the trailer: deflated JSON.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, starmap
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

from isal import isal_zlib

from exports.datasets import Column, ColumnType, Row
from exports.formats.base import RenderContext, Written
from exports.formats.links import target_of
from exports.formats.pdf import fonts, template
from exports.formats.pdf.internals import SHORT_ROWS, lay_out
from exports.formats.pdf.localize import Totals, Words
from exports.formats.pdf.rows import Batch, Typesetter
from exports.formats.values import batches

HEAD = Struct("<III")
BLOCK = 1 << 20
"""Bytes of operators after which a block ends."""
LEVEL = 1


class Link(NamedTuple):
    """A link of one cell: the index of its row among some rows, the index of its column, and the target."""

    row: int
    column: int
    target: str


@dataclass(frozen=True)
class Sizes:
    """Sizes of rows: heights in pixels, lengths of operators in bytes, and flags for continued rows; their links."""

    heights: array[float]
    lengths: array[int]
    more: bytes
    links: Sequence[Link] = ()

    def __add__(self, other: Sizes) -> Sizes:
        links = [*self.links, *(link._replace(row=len(self.more) + link.row) for link in other.links)]
        return Sizes(self.heights + other.heights, self.lengths + other.lengths, self.more + other.more, links)

    def __getitem__(self, rows: slice) -> Sizes:
        at, end, _step = rows.indices(len(self.more))
        links = [link._replace(row=link.row - at) for link in self.links if at <= link.row < end]
        return Sizes(self.heights[rows], self.lengths[rows], self.more[rows], links)

    def pack(self) -> bytes:
        links = json.dumps(self.links).encode() if self.links else b""
        return self.heights.tobytes() + self.lengths.tobytes() + self.more + links

    @classmethod
    def unpack(cls, data: bytes, rows: int) -> Sizes:
        heights, lengths = array("d"), array("I")
        heights.frombytes(data[: 8 * rows])
        lengths.frombytes(data[8 * rows : 12 * rows])
        links = json.loads(data[13 * rows :] or b"[]")
        return cls(heights, lengths, data[12 * rows : 13 * rows], list(starmap(Link, links)))


class PartWriter:
    """Writes the body of a part."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._begin()

    def _begin(self) -> None:
        self._sizes = Sizes(array("d"), array("I"), b"")
        self._more = bytearray()
        self._links: list[Link] = []
        self._ops: list[bytes] = []
        self._length = 0

    def add(self, batch: Batch, links: Iterable[Link] = ()) -> None:
        """Add rows, and the links of those that do not continue another one."""
        starts = [place for place, more in enumerate(batch.more, start=len(self._more)) if not more]
        self._links += [link._replace(row=starts[link.row]) for link in links]
        self._sizes.heights.extend(batch.heights)
        self._sizes.lengths.extend(map(len, batch.ops))
        self._more += bytes(batch.more)
        self._ops.append(b"".join(batch.ops))
        self._length += len(self._ops[-1])
        if self._length > BLOCK:
            self._flush()

    def close(self, trailer: dict[str, Any]) -> None:
        self._flush()
        data = isal_zlib.compress(json.dumps(trailer).encode(), LEVEL)
        self._out.write(HEAD.pack(0, 0, len(data)) + data)

    def _flush(self) -> None:
        if not self._more:
            return
        sizes = Sizes(self._sizes.heights, self._sizes.lengths, bytes(self._more), self._links)
        packed = isal_zlib.compress(sizes.pack(), LEVEL)
        ops = isal_zlib.compress(b"".join(self._ops), LEVEL)
        self._out.write(HEAD.pack(len(sizes.more), len(packed), len(ops)) + packed + ops)
        self._begin()


def write(rows: Iterable[Row], out: BinaryIO, context: RenderContext, html: str) -> Written:
    """Write the body of a part. `html` is the template rendered with SHORT_ROWS sample rows."""
    sheet = lay_out(html, len(context.columns), SHORT_ROWS)
    typesetter = Typesetter(sheet, sheet.room)
    words, totals, body, count = Words(context.columns, context.zone), Totals(context.columns), PartWriter(out), 0
    linked = _linked(context.columns)
    for batch in batches(rows):
        totals.add(batch)
        body.add(typesetter.rows(words(batch)), _links(batch, linked) if linked else ())
        count += len(batch)
    body.close(fonts.usage(sheet.assets, typesetter.missing))
    return Written(count, meta={"totals": totals.meta, "missing": template.missing_summary(typesetter.missing)})


def _linked(columns: Sequence[Column]) -> list[tuple[int, int, ColumnType]]:
    """Return the index of each column of links, the index of its slot, and its type."""
    slots = accumulate((len(column.slots) for column in columns), initial=0)
    pairs = enumerate(zip(columns, slots, strict=False))
    return [(place, slot, column.type) for place, (column, slot) in pairs if column.type.linked]


def _links(rows: Sequence[Row], linked: Sequence[tuple[int, int, ColumnType]]) -> Iterator[Link]:
    for number, row in enumerate(rows):
        for place, slot, kind in linked:
            value = row[slot]
            if isinstance(value, str) and (target := target_of(kind, value)):
                yield Link(number, place, target)


def copy_blocks(part: BinaryIO, spool: BinaryIO) -> dict[str, Any]:
    """Copy the blocks of a part to `spool` and return its trailer."""
    while True:
        head = part.read(HEAD.size)
        rows, packed, rest = HEAD.unpack(head)
        if not rows:
            trailer: dict[str, Any] = json.loads(isal_zlib.decompress(part.read(rest)))
            return trailer
        spool.write(head + part.read(packed) + part.read(rest))


def read_sizes(spool: BinaryIO) -> Iterator[Sizes]:
    """Yield the sizes of all rows in `spool`, one block at a time."""
    spool.seek(0)
    while head := spool.read(HEAD.size):
        rows, packed, rest = HEAD.unpack(head)
        yield Sizes.unpack(isal_zlib.decompress(spool.read(packed)), rows)
        spool.seek(rest, 1)


def read_rows(spool: BinaryIO, counts: Iterable[int]) -> Iterator[tuple[Sizes, list[bytes]]]:
    """Read all rows in `spool`. For each of `counts`, yield the sizes and chunks of operators of that many rows."""
    stream = _blocks(spool)
    block, ops = Sizes(array("d"), array("I"), b""), b""
    at = offset = 0
    for count in counts:
        taken, text = Sizes(array("d"), array("I"), b""), []
        while len(taken.more) < count:
            if at == len(block.more):
                block, ops = next(stream)
                at = offset = 0
            end = min(at + count - len(taken.more), len(block.more))
            part = block[at:end]
            length = sum(part.lengths)
            text.append(ops[offset : offset + length])
            taken, at, offset = taken + part, end, offset + length
        yield taken, text


def _blocks(spool: BinaryIO) -> Iterator[tuple[Sizes, bytes]]:
    spool.seek(0)
    while head := spool.read(HEAD.size):
        rows, packed, rest = HEAD.unpack(head)
        block = Sizes.unpack(isal_zlib.decompress(spool.read(packed)), rows)
        yield block, isal_zlib.decompress(spool.read(rest))
