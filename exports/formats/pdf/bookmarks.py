"""Bookmarks of the PDF file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from exports.formats.pdf.file import File, format_number, string


@dataclass
class Mark:
    """A bookmark that points to a position, in points, on a page (from 0)."""

    level: int
    label: str
    page: int
    x: float
    y: float
    number: int = 0
    children: list[Mark] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of descendants."""
        return sum(1 + child.count for child in self.children)


def outline(file: File, marks: Sequence[Mark], pages: Sequence[int]) -> bytes:
    """Write the outline of `marks`, given in document order. Return its catalog entry; empty if there are no marks."""
    if not marks:
        return b""
    top = Mark(-1, "", 0, 0, 0, file.reserve())
    above = [top]
    for mark in marks:
        while above[-1].level >= mark.level:
            above.pop()
        above[-1].children.append(mark)
        above.append(mark)
        mark.number = file.reserve()
    for mark in marks:
        if mark.children:
            _chain(file, mark, pages)
    _chain(file, top, pages)
    ends = top.children[0].number, top.children[-1].number
    file.write(b"<</Type/Outlines/Count %d/First %d 0 R/Last %d 0 R>>" % (top.count, *ends), top.number)
    return b"/Outlines %d 0 R" % top.number


def _chain(file: File, parent: Mark, pages: Sequence[int]) -> None:
    """Write the direct children of `parent` as a linked list."""
    below = parent.children
    for place, mark in enumerate(below):
        links = b"/Prev %d 0 R" % below[place - 1].number if place else b""
        links += b"/Next %d 0 R" % below[place + 1].number if place + 1 < len(below) else b""
        if mark.children:
            ends = mark.children[0].number, mark.children[-1].number
            links += b"/First %d 0 R/Last %d 0 R/Count %d" % (*ends, mark.count)
        where = f"/XYZ {format_number(mark.x)} {format_number(mark.y)} 0".encode()
        body = (string(mark.label), pages[mark.page], where, parent.number, links)
        file.write(b"<</Title%b/Dest[%d 0 R %b]/Parent %d 0 R%b>>" % body, mark.number)
