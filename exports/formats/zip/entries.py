"""The files of a bundle: one for each dataset and format, or several if it is larger than a volume.

A file is only split between two parts. Each piece is a complete file with its own head and tail, which state its number
and the number of pieces. The size of a file must be known before it is put into a volume. So with volumes, the parts of
framed formats are first compressed to scratch and then joined as they are; without volumes they go straight into the
archive. Formats that are not framed assemble their files twice: once to find where to split, and again with the final
numbers.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import BinaryIO, NamedTuple, TypeVar, cast

from exports.errors import Mismatch
from exports.formats import Format, Framed, RenderContext, Share, Written, writer
from exports.formats.archive import Zip
from exports.formats.assembly import Assembly, SideFiles, is_framed
from exports.formats.context import context_of
from exports.formats.deflate import Deflater, Segment
from exports.models import Part

T = TypeVar("T")

ENTRY = 256
"""Maximum overhead of an entry in an archive, in bytes, besides its content and twice its name."""
SLACK = 1_024
"""Bytes by which a file may grow when it is assembled again with another number in it."""


class BundleFile(ABC):
    """One complete file of a bundle. It can be put once, before the next one is taken from the iterator."""

    def __init__(
        self, assembly: Assembly, number: int, parts: Sequence[Part], held: ExitStack, share: Share | None = None
    ) -> None:
        self.assembly, self.parts = assembly, parts
        self.content = number
        self.kind: Format = writer(assembly.export.contents[number].format)
        self.rows = sum(part.rows_done for part in parts)
        self.side_files = SideFiles(assembly.folder, held)
        context = context_of(assembly.export, number, rows=self.rows, share=share, beside=self.side_files)
        self.context = replace(context, name=context.name + _suffix(share))
        self.name = f"{self.context.name}.{self.kind.extension_of(context.options)}"

    @property
    @abstractmethod
    def packed(self) -> int:
        """Maximum size of its content in an archive, in bytes."""

    @abstractmethod
    def write(self, archive: Zip, path: str) -> Written:
        """Add the file as an entry."""

    @property
    def room(self) -> int:
        """Maximum size in an archive, in bytes, including its side files."""
        return self.packed + self.side_files.size() + (1 + len(self.side_files.files)) * (ENTRY + 4 * len(self.name))

    def put(self, archive: Zip, folder: str) -> Written:
        """Add the file and its side files. Raises Mismatch if it does not have as many rows as its parts."""
        written = self.write(archive, folder + self.name)
        if written.rows != self.rows:
            raise Mismatch
        self.side_files.put(self.assembly, archive, folder)
        return written


def bundle_files(assembly: Assembly, number: int, capacity: int | None) -> Generator[BundleFile, None, None]:
    """Yield the files of the export's content with this number, each small enough for `capacity` bytes of an archive.

    If `capacity` is None, there is a single file of any size. A file larger than `capacity` consists of a single part.
    """
    kind, parts = writer(assembly.export.contents[number].format), assembly.parts(number)
    if not is_framed(kind):
        yield from _composed(assembly, number, parts, capacity)
    elif capacity is None:
        with ExitStack() as held:
            yield Streamed(assembly, number, parts, held)
    else:
        yield from _segmented(assembly, number, parts, capacity)


def _suffix(share: Share | None) -> str:
    return f"-{share.number}-of-{share.count}" if share else ""


def _shares(groups: Sequence[Sequence[Part]]) -> Iterator[Share | None]:
    """Yield the share of each file; None for a single file."""
    if len(groups) == 1:
        yield None
        return
    rows = [sum(part.rows_done for part in group) for group in groups]
    metas = [part.meta for group in groups for part in group]
    for place in range(len(groups)):
        yield Share(place + 1, len(groups), sum(rows[:place]), sum(rows), metas)


def _widest(parts: Sequence[Part]) -> Share:
    """Return the share that takes the most space in a file and its name, for any split of these parts."""
    rows = sum(part.rows_done for part in parts)
    return Share(len(parts), len(parts), rows, rows, [part.meta for part in parts])


# --- framed formats -------------------------------------------------------------------------------------------------


class Streamed(BundleFile):
    """A file of a framed format whose parts go straight into the archive."""

    @property
    def packed(self) -> int:
        return 0  # not used: there is only one volume

    def write(self, archive: Zip, path: str) -> Written:
        with archive.entry(path) as entry:
            return self.kind.assemble(self.assembly.opened(self.parts), cast("BinaryIO", entry), self.context)


class Packed(NamedTuple):
    """A part's compressed body, at offset `at` of the file that holds all bodies."""

    part: Part
    at: int
    segment: Segment


class Segmented(BundleFile):
    """A file of a framed format whose compressed parts are joined as they are."""

    bodies: Sequence[Packed]
    file: BinaryIO

    def packed_from(self, file: BinaryIO, bodies: Sequence[Packed]) -> Segmented:
        self.file, self.bodies = file, bodies
        return self

    @property
    def packed(self) -> int:
        return _room(self.bodies) + self._frame

    @cached_property
    def _frame(self) -> int:
        return _frame(cast("Framed", self.kind), self.context)

    def write(self, archive: Zip, path: str) -> Written:
        kind = cast("Framed", self.kind)
        rows = 0
        with archive.entry(path) as entry:
            entry.write(kind.head(self.context))
            for part, at, segment in self.bodies:
                self.assembly.lease.check()
                if rows and part.rows_done:
                    entry.write(kind.between)
                self.file.seek(at)
                entry.append(self.file, segment)
                rows += part.rows_done
            entry.write(kind.tail(self.context))
        return Written(rows)


def _segmented(assembly: Assembly, number: int, parts: Sequence[Part], capacity: int) -> Iterator[BundleFile]:
    with (assembly.folder / f"packed-{number}").open("w+b") as file, ExitStack() as held:
        held.callback(os.unlink, file.name)
        whole = Segmented(assembly, number, parts, held).packed_from(file, list(_pack(assembly, parts, file)))
        if whole.room <= capacity or len(parts) == 1:
            yield whole
            return
        widest = Segmented(assembly, number, parts, held, _widest(parts)).packed_from(file, whole.bodies)
        spent = widest.room - _room(whole.bodies)
        groups = _groups(whole.bodies, [_room([body]) for body in whole.bodies], capacity - spent)
        cut = [[body.part for body in group] for group in groups]
        for bodies, group, share in zip(groups, cut, _shares(cut), strict=True):
            yield Segmented(assembly, number, group, held, share).packed_from(file, bodies)


def _pack(assembly: Assembly, parts: Sequence[Part], out: BinaryIO) -> Iterator[Packed]:
    for part, opened in zip(parts, assembly.opened(parts), strict=True):
        at = out.tell()
        deflater = Deflater(out.write)
        for block in assembly.blocks(opened.file):
            deflater.write(block)
        yield Packed(part, at, deflater.close())


def _room(bodies: Sequence[Packed]) -> int:
    """Return the size of joined segments in bytes, including separators."""
    return sum(body.segment.packed + 32 for body in bodies)


def _frame(kind: Framed, context: RenderContext) -> int:
    """Return the maximum size of head and tail in bytes. Incompressible data grows by a few bytes."""
    return len(kind.head(context)) + len(kind.tail(context)) + 64


# --- formats that assemble a whole file -----------------------------------------------------------------------------


class Composed(BundleFile):
    """A file that its format has assembled on scratch."""

    file: BinaryIO
    written: Written

    @contextmanager
    def assembled(self) -> Iterator[Composed]:
        path = self.assembly.folder / f"file-{self.content}"
        with path.open("w+b") as self.file:
            try:
                self.written = self.kind.assemble(self.assembly.opened(self.parts), self.file, self.context)
                yield self
            finally:
                path.unlink()

    @property
    def packed(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def write(self, archive: Zip, path: str) -> Written:
        self.file.seek(0)
        self.assembly.put(archive, path, self.file, stored=True)
        return self.written


def _composed(assembly: Assembly, number: int, parts: Sequence[Part], capacity: int | None) -> Iterator[BundleFile]:
    """Yield the files. A file's size is only known once it is assembled, so the first split uses the parts' sizes."""
    groups: Sequence[Sequence[Part]] = [parts]
    if capacity is not None:
        groups = _groups(parts, [part.size or 0 for part in parts], capacity)
    if len(groups) == 1:
        with _opened(assembly, number, parts) as whole:
            if capacity is None or whole.room <= capacity or len(parts) == 1:
                yield whole
                return
        groups = _halves(parts)
    assert capacity is not None
    groups = list(_fitting(assembly, number, groups, capacity - SLACK))
    for group, share in zip(groups, _shares(groups), strict=True):
        with _opened(assembly, number, group, share) as file:
            yield file


def _fitting(
    assembly: Assembly, number: int, groups: Sequence[Sequence[Part]], capacity: int
) -> Iterator[Sequence[Part]]:
    """Yield the groups, halved until the file of each group fits or consists of a single part."""
    todo, widest = list(groups), _widest([part for group in groups for part in group])
    while todo:
        group = todo.pop(0)
        if len(group) > 1:
            with _opened(assembly, number, group, widest) as file:
                fits = file.room <= capacity
            if not fits:
                todo[:0] = _halves(group)
                continue
        yield group


@contextmanager
def _opened(assembly: Assembly, number: int, parts: Sequence[Part], share: Share | None = None) -> Iterator[Composed]:
    with ExitStack() as held, Composed(assembly, number, parts, held, share).assembled() as file:
        yield file


def _halves(parts: Sequence[Part]) -> list[Sequence[Part]]:
    half = len(parts) // 2
    return [parts[:half], parts[half:]]


def _groups(items: Sequence[T], sizes: Sequence[int], capacity: int) -> list[list[T]]:
    """Group adjacent items whose sizes add up to at most `capacity`. A larger item forms a group of its own."""
    groups: list[list[T]] = [[]]
    free = capacity
    for item, size in zip(items, sizes, strict=True):
        if groups[-1] and size > free:
            groups.append([])
            free = capacity
        groups[-1].append(item)
        free -= size
    return groups
