"""A PDF file written from front to end: objects leave memory as they are written, and only their places stay."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, BinaryIO

import pydyf
from isal import isal_zlib

LEVEL = 2
KIDS = 32
"""Pages of a node of the page tree, and nodes of the node above."""
EXACT = 5
"""Decimals of moves that add up down a page."""


class File:
    """The objects of one PDF. Objects of pydyf may be added; they are written at the end, when they are complete."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._places = array("Q", [0])
        self._position = 0
        self._late: list[Any] = []
        self._write(b"%PDF-1.7\n%\xf0\x9f\x96\xa4\n")

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._position += len(data)

    def reserve(self, count: int = 1) -> int:
        """The first of `count` numbers for objects that are written later."""
        number = len(self._places)
        self._places.extend([0] * count)
        return number

    def write(self, body: bytes, number: int | None = None) -> int:
        """Write an object; its number."""
        number = number or self.reserve()
        self._places[number] = self._position
        self._write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
        return number

    def stream(self, data: bytes, head: bytes = b"", number: int | None = None) -> int:
        """Write a stream, deflated; `head` are the further entries of its dictionary."""
        packed = isal_zlib.compress(data, LEVEL)
        body = b"<<%b/Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (head, len(packed), packed)
        return self.write(body, number)

    def add_object(self, item: Any) -> None:
        """pydyf's way to give an object its number."""
        item.number = self.reserve()
        self._late.append(item)

    def added(self, reference: bytes) -> Any:
        """The object of pydyf with this reference."""
        return next(item for item in self._late if item.reference == reference)

    def pages(self, numbers: Sequence[int], parents: Sequence[int], attributes: bytes) -> int:
        """Write the tree above the pages `numbers`, whose parents are `parents`; its root's number."""
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
        for item in self._late:
            self._places[item.number] = self._position
            self._write(item.indirect + b"\n")
        start, count = self._position, len(self._places)
        self._write(b"xref\n0 %d\n0000000000 65535 f \n" % count)
        for at in range(1, count, 10_000):
            self._write(b"".join(b"%010d 00000 n \n" % place for place in self._places[at : at + 10_000]))
        self._write(
            b"trailer\n<</Size %d/Root %d 0 R/Info %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (count, root, info, start)
        )


def references(numbers: Sequence[int]) -> bytes:
    return b" ".join(b"%d 0 R" % number for number in numbers)


def string(text: str) -> bytes:
    """A text string."""
    return bytes(pydyf.String(text).data)


def plain(number: float, decimals: int = 3) -> str:
    """Up to so many decimals, and no more than are needed."""
    text = f"{number:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def move(x: float, y: float) -> bytes:
    """The operator that moves the text position, in points, from where the line began; nothing for no way at all."""
    across, up = plain(x), plain(y, EXACT)
    return b"" if across == up == "0" else f"{across} {up} Td".encode()
