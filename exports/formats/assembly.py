"""Access to the files of an export's parts while they are joined: each is checked, and open only while it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from durable.lease import Lease
from exports.errors import Mismatch, SpoiltPart, StorageFailed
from exports.formats import Format, Framed, OpenPart
from exports.formats.archive import Zip
from exports.models import Export, Part
from exports.storage import artifacts


class File(NamedTuple):
    """A finished file in the storage, and its download name."""

    stored: artifacts.Stored
    name: str


@dataclass(frozen=True)
class Assembled:
    """The result of assembling an export: its file, or its volumes in order. `pages` is None if no file has pages."""

    files: list[File]
    rows: int
    pages: int | None


class Assembly:
    """One attempt to join the finished parts of an export. `folder` is a scratch folder, deleted after the attempt."""

    def __init__(self, lease: Lease[Export], parts: Sequence[Part], folder: Path) -> None:
        self.lease, self.export, self.folder = lease, lease.work, folder
        self._parts = parts

    def parts(self, number: int) -> list[Part]:
        """Return the parts of the export's file with this number."""
        return [part for part in self._parts if part.content == number]

    def opened(self, parts: Sequence[Part]) -> Iterator[OpenPart]:
        """Yield the parts' files, each open only until the next one is taken, to limit the number of open files.

        Raises SpoiltPart if a file is missing or corrupt, StorageFailed if the storage is unavailable, and LeaseLost
        between two parts if this attempt no longer holds the lease.
        """
        for part in parts:
            self.lease.check()
            with ExitStack() as held:
                stored = artifacts.Stored(part.artifact, part.size or 0, part.sha256)
                try:
                    file = held.enter_context(artifacts.checked(stored))
                except (Mismatch, StorageFailed) as error:
                    if artifacts.is_lost(error):
                        raise SpoiltPart.of(part.pk) from error
                    raise
                yield OpenPart(file, part.rows_done, part.meta)

    def blocks(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the rest of `file` in blocks. Raises LeaseLost between two blocks."""
        watched = self.watched(file)
        while block := watched.read(artifacts.BLOCK):
            yield block

    def watched(self, file: BinaryIO) -> BinaryIO:
        """Return a reader of `file` that raises LeaseLost if this attempt no longer holds the lease."""
        return cast("BinaryIO", _Watched(self.lease, file))

    def put(self, archive: Zip, path: str, file: BinaryIO, *, stored: bool = False) -> None:
        """Write the rest of `file` as an entry; `stored` skips compression, for data that is compressed already."""
        with archive.entry(path, stored=stored) as entry:
            for block in self.blocks(file):
                entry.write(block)

    def store(self, file: BinaryIO, extension: str, number: int = 1) -> artifacts.Stored:
        """Move a finished file into the storage, under a key that is unique to this attempt."""
        self.lease.check()
        suffix = f"-{number}" if number > 1 else ""
        return artifacts.store(file, f"{self.export.uuid}/export-{self.export.attempt}{suffix}.{extension}")


class _Watched:
    """Reads a file, and checks the lease after each block."""

    def __init__(self, lease: Lease[Export], file: BinaryIO) -> None:
        self._lease, self._file = lease, file

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._lease.check()
        return block


class SideFiles:
    """Side files on scratch, for data that a format's own file cannot hold. Calling it opens one file per name."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        self._folder, self._held = folder, held
        self.files: dict[str, BinaryIO] = {}

    def __call__(self, name: str) -> BinaryIO:
        if name not in self.files:
            path = self._folder / f"beside-{os.urandom(8).hex()}"
            self.files[name] = self._held.enter_context(path.open("w+b"))
            self._held.callback(path.unlink)
        return self.files[name]

    def size(self) -> int:
        return sum(file.seek(0, os.SEEK_END) for file in self.files.values())

    def put(self, assembly: Assembly, archive: Zip, folder: str = "") -> None:
        for name, file in self.files.items():
            file.seek(0)
            assembly.put(archive, folder + name, file)


def is_framed(kind: Format) -> bool:
    """Return whether files of this format are just head, bodies and tail: text, which can be compressed as a stream."""
    return isinstance(kind, Framed) and type(kind).assemble is Framed.assemble
