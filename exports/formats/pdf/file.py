"""Sequential writer of a PDF file. Only the offsets of the written objects stay in memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, BinaryIO

import pydyf
from isal import isal_zlib

LEVEL = 2
KIDS = 32
"""Maximum number of children of a node in the page tree."""
EXACT = 5
"""Decimals of vertical moves, whose rounding errors add up down a page."""


class File:
    """The objects of one PDF. Objects of pydyf may be added, and modified until `close` writes them."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._offsets = array("Q", [0])
        self._position = 0
        self._pydyf_objects: list[Any] = []
        self._write(b"%PDF-1.7\n%\xf0\x9f\x96\xa4\n")

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._position += len(data)

    def reserve(self, count: int = 1) -> int:
        """Reserve `count` consecutive object numbers and return the first."""
        number = len(self._offsets)
        self._offsets.extend([0] * count)
        return number

    def write(self, body: bytes, number: int | None = None) -> int:
        """Write an object and return its number."""
        number = number or self.reserve()
        self._offsets[number] = self._position
        self._write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
        return number

    def stream(self, data: bytes, head: bytes = b"", number: int | None = None) -> int:
        """Write a compressed stream and return its number. `head` contains additional entries of its dictionary."""
        packed = isal_zlib.compress(data, LEVEL)
        body = b"<<%b/Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (head, len(packed), packed)
        return self.write(body, number)

    def add_object(self, item: Any) -> None:
        """Assign a number to a pydyf object. Called by WeasyPrint."""
        item.number = self.reserve()
        self._pydyf_objects.append(item)

    def pydyf_object(self, reference: bytes) -> Any:
        """Return the added pydyf object with this reference."""
        return next(item for item in self._pydyf_objects if item.reference == reference)

    def pages(self, numbers: Sequence[int], parents: Sequence[int], attributes: bytes) -> int:
        """Write the page tree above the pages `numbers` and return the number of its root.

        `parents` are the reserved numbers of the lowest nodes, each with KIDS pages.
        """
        nodes, counts = list(parents), [len(numbers[at : at + KIDS]) for at in range(0, len(numbers), KIDS)]
        kids = [numbers[at : at + KIDS] for at in range(0, len(numbers), KIDS)]
        while True:
            root = len(nodes) == 1
            above = [] if root else [self.reserve() for _ in range(0, len(nodes), KIDS)]
            for place, (node, count, below) in enumerate(zip(nodes, counts, kids, strict=True)):
                head = attributes if root else b"/Parent %d 0 R" % above[place // KIDS]
                self.write(b"<</Type/Pages%b/Count %d/Kids[%b]>>" % (head, count, references(below)), node)
            if root:
                return nodes[0]
            kids = [nodes[at : at + KIDS] for at in range(0, len(nodes), KIDS)]
            counts = [sum(counts[at : at + KIDS]) for at in range(0, len(counts), KIDS)]
            nodes = above

    def close(self, root: int, info: int) -> None:
        for item in self._pydyf_objects:
            self._offsets[item.number] = self._position
            self._write(item.indirect + b"\n")
        start, count = self._position, len(self._offsets)
        self._write(b"xref\n0 %d\n0000000000 65535 f \n" % count)
        for at in range(1, count, 10_000):
            self._write(b"".join(b"%010d 00000 n \n" % place for place in self._offsets[at : at + 10_000]))
        self._write(
            b"trailer\n<</Size %d/Root %d 0 R/Info %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (count, root, info, start)
        )


def references(numbers: Sequence[int]) -> bytes:
    return b" ".join(b"%d 0 R" % number for number in numbers)


def string(text: str) -> bytes:
    """Return `text` as a PDF text string."""
    return bytes(pydyf.String(text).data)


def format_number(number: float, decimals: int = 3) -> str:
    """Format `number` with at most `decimals` decimals and without trailing zeros."""
    text = f"{number:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def move(x: float, y: float) -> bytes:
    """Return the operator that moves the text position by (x, y) points from the line start; empty for no move."""
    across, up = format_number(x), format_number(y, EXACT)
    return b"" if across == up == "0" else f"{across} {up} Td".encode()
