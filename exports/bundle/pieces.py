"""The files of a bundle: a dataset in a format is one, or several when it is larger than a volume.

A file is cut between two parts alone, and each piece is a whole file with a head and a tail of its own. How much room
a piece takes must be known before it is put anywhere. So with volumes, framed formats are packed to scratch first,
part after part, and joined without being packed again; without volumes they go straight into the archive.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import BinaryIO, NamedTuple, TypeVar, cast

from exports.archive import Deflater, Segment, Zip
from exports.bundle.job import Beside, Job, is_framed, put
from exports.contexts import context_of
from exports.errors import Mismatch
from exports.formats import Format, Framed, RenderContext, Written, writer
from exports.models import Part

T = TypeVar("T")

ENTRY = 256
"""Bytes that an archive spends on an entry beside its content and twice its name, at most."""


class Piece(ABC):
    """One file of a bundle, complete in itself. It may be put once, before the next one is asked for."""

    def __init__(self, job: Job, number: int, parts: Sequence[Part], held: ExitStack, cut: int | None) -> None:
        self.job, self.parts = job, parts
        self.content = number
        self.kind: Format = writer(job.export.contents[number].format)
        self.rows = sum(part.rows_done for part in parts)
        self.beside = Beside(job.folder, held)
        context = context_of(job.export, number, rows=self.rows, beside=self.beside)
        self.context = context if cut is None else replace(context, name=f"{context.name}-{cut}")
        self.name = f"{self.context.name}.{self.kind.extension}"

    @property
    @abstractmethod
    def packed(self) -> int:
        """Bytes of its content in an archive, at most."""

    @abstractmethod
    def write(self, archive: Zip, path: str) -> Written:
        """Add it as an entry."""

    @property
    def room(self) -> int:
        """Bytes that it takes in an archive with all that is beside it, at most."""
        return self.packed + self.beside.size() + (1 + len(self.beside.files)) * (ENTRY + 4 * len(self.name))

    def put(self, archive: Zip, folder: str) -> Written:
        """Add it and what is beside it. Raises Mismatch when the rows joined are not the rows written."""
        written = self.write(archive, folder + self.name)
        if written.rows != self.rows:
            raise Mismatch
        self.beside.put(self.job, archive, folder)
        return written


def pieces(job: Job, number: int, capacity: int | None) -> Generator[Piece, None, None]:
    """The files of the export's content of that number, each to fit into `capacity` bytes of an archive.

    None: a single one, of any size. One that is larger all the same is made of a single part.
    """
    kind, parts = writer(job.export.contents[number].format), job.parts(number)
    if not is_framed(kind):
        yield from _composed(job, number, parts, capacity)
    elif capacity is None:
        with ExitStack() as held:
            yield Streamed(job, number, parts, held, None)
    else:
        yield from _segmented(job, number, parts, capacity)


# --- framed formats -------------------------------------------------------------------------------------------------


class Streamed(Piece):
    """Parts that go one after the other straight into the archive."""

    @property
    def packed(self) -> int:
        return 0  # nobody counts: there is one volume alone

    def write(self, archive: Zip, path: str) -> Written:
        with archive.entry(path) as entry:
            return self.kind.assemble(self.job.opened(self.parts), cast("BinaryIO", entry), self.context)


class Packed(NamedTuple):
    """A part's body, packed: where it lies in the file that holds them all."""

    part: Part
    at: int
    segment: Segment


class Segmented(Piece):
    """Parts that are packed already and are joined as they are."""

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
                self.job.lease.check()
                if rows and part.rows_done:
                    entry.write(kind.between)
                self.file.seek(at)
                entry.append(self.file, segment)
                rows += part.rows_done
            entry.write(kind.tail(self.context))
        return Written(rows)


def _segmented(job: Job, number: int, parts: Sequence[Part], capacity: int) -> Iterator[Piece]:
    with (job.folder / f"packed-{number}").open("w+b") as file, ExitStack() as held:
        held.callback(os.unlink, file.name)
        whole = Segmented(job, number, parts, held, None).packed_from(file, list(_pack(job, parts, file)))
        if whole.room <= capacity or len(parts) == 1:
            yield whole
            return
        spent = whole.room - _room(whole.bodies)
        groups = _groups(whole.bodies, [_room([body]) for body in whole.bodies], capacity - spent)
        for cut, group in enumerate(groups, start=1):
            piece = Segmented(job, number, [body.part for body in group], held, cut)
            yield piece.packed_from(file, group)


def _pack(job: Job, parts: Sequence[Part], out: BinaryIO) -> Iterator[Packed]:
    for part, opened in zip(parts, job.opened(parts), strict=True):
        at = out.tell()
        deflater = Deflater(out.write)
        for block in job.blocks(opened.file):
            deflater.write(block)
        yield Packed(part, at, deflater.close())


def _room(bodies: Sequence[Packed]) -> int:
    """Bytes of joined segments, with what may stand between two of them."""
    return sum(body.segment.packed + 32 for body in bodies)


def _frame(kind: Framed, context: RenderContext) -> int:
    """Bytes of head and tail, at most: what cannot be packed grows by a few bytes."""
    return len(kind.head(context)) + len(kind.tail(context)) + 64


# --- formats that make a file of their own --------------------------------------------------------------------------


class Composed(Piece):
    """A file that its format has made on scratch."""

    file: BinaryIO
    written: Written

    @contextmanager
    def made(self) -> Iterator[Composed]:
        path = self.job.folder / f"file-{self.content}"
        with path.open("w+b") as self.file:
            try:
                self.written = self.kind.assemble(self.job.opened(self.parts), self.file, self.context)
                yield self
            finally:
                path.unlink()

    @property
    def packed(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def write(self, archive: Zip, path: str) -> Written:
        self.file.seek(0)
        put(self.job, archive, path, self.file, stored=True)
        return self.written


def _composed(job: Job, number: int, parts: Sequence[Part], capacity: int | None) -> Iterator[Piece]:
    """What a file of some parts comes to is known only when it is made; the sizes of the parts are the guess."""
    room = capacity or sum(part.size or 0 for part in parts)
    todo = [list(parts)] if capacity is None else _groups(parts, [part.size or 0 for part in parts], room)
    cut = None if len(todo) == 1 else 1
    while todo:
        group = todo.pop(0)
        with ExitStack() as held, Composed(job, number, group, held, cut).made() as piece:
            if capacity is None or piece.room <= capacity or len(group) == 1:
                yield piece
                cut = None if cut is None else cut + 1
                continue
        half = len(group) // 2
        todo[:0] = [group[:half], group[half:]]
        cut = cut or 1


def _groups(items: Sequence[T], sizes: Sequence[int], capacity: int) -> list[list[T]]:
    """Neighbours together as long as they fit."""
    groups: list[list[T]] = [[]]
    free = capacity
    for item, size in zip(items, sizes, strict=True):
        if groups[-1] and size > free:
            groups.append([])
            free = capacity
        groups[-1].append(item)
        free -= size
    return groups
