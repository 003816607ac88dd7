"""The parts of an export while they are joined: each checked, and open for no longer than it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from durable.lease import Lease
from exports.errors import Mismatch, SpoiltPart, StorageFailed
from exports.formats import Format, Framed, OpenPart
from exports.formats.archive import Zip
from exports.models import Export, Part
from exports.storage import artifacts


class File(NamedTuple):
    """A finished file in the storage, and its name for its owner."""

    stored: artifacts.Stored
    name: str


@dataclass(frozen=True)
class Assembled:
    """What an export has become: its file, or its volumes in order. `pages` is None where nothing has any."""

    files: list[File]
    rows: int
    pages: int | None


class Assembly:
    """One attempt to join the finished parts of an export. `folder` is on scratch and goes when the attempt ends."""

    def __init__(self, lease: Lease[Export], parts: Sequence[Part], folder: Path) -> None:
        self.lease, self.export, self.folder = lease, lease.work, folder
        self._parts = parts

    def parts(self, number: int) -> list[Part]:
        """Those of the export's file of that number."""
        return [part for part in self._parts if part.content == number]

    def opened(self, parts: Sequence[Part]) -> Iterator[OpenPart]:
        """The parts' files, each open until the next one is asked for: a process may open only so many at a time.

        Raises SpoiltPart for one that is gone or not what was written, StorageFailed when the storage is away, and
        LeaseLost between two when this attempt is fenced off.
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
        """The rest of `file`. Raises LeaseLost between two blocks."""
        while block := file.read(artifacts.BLOCK):
            self.lease.check()
            yield block

    def put(self, archive: Zip, path: str, file: BinaryIO, *, stored: bool = False) -> None:
        """Write the rest of `file` as an entry; `stored` without compression, for what is compressed already."""
        with archive.entry(path, stored=stored) as entry:
            for block in self.blocks(file):
                entry.write(block)

    def store(self, file: BinaryIO, extension: str, number: int = 1) -> artifacts.Stored:
        """Move a finished file into the storage, under a key that no other attempt uses."""
        self.lease.check()
        suffix = f"-{number}" if number > 1 else ""
        return artifacts.store(file, f"{self.export.uuid}/export-{self.export.attempt}{suffix}.{extension}")


class SideFiles:
    """Opens files for what a format's own file cannot hold, on scratch; the same one for the same name."""

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
    """Are its files just head, bodies and tail? They are text then, and can be packed as they come."""
    return isinstance(kind, Framed) and type(kind).assemble is Framed.assemble
