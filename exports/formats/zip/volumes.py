"""The volumes of a bundle while they are filled: ZIP files on scratch, to which more files can be added at the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, Self, cast

from exports.formats import Written
from exports.formats.archive import EntryInfo, Zip
from exports.formats.zip.entries import ENTRY


class Placeable(Protocol):
    """A file that can be put into a volume once. `room` is the most that it takes there, in bytes."""

    @property
    def room(self) -> int: ...

    def put(self, archive: Zip, folder: str) -> Written: ...


class Volume:
    """One volume. Its file is open only while it is written to, which limits the number of open files.

    `oversize` is set if it holds a file larger than a volume: an upload, or a file that consists of a single part.
    """

    def __init__(self, path: Path, moment: datetime, room: int | None) -> None:
        self.path, self.oversize = path, False
        self._file = _Reopened(path)
        self._room = room
        self._directory = 0
        """Maximum size of the directory at the end, in bytes, without the entries that are added there."""
        self._archive = Zip(cast("BinaryIO", self._file), moment, hashing=True, timestamps=True)

    @property
    def entries(self) -> list[EntryInfo]:
        return self._archive.entries

    def has_room(self, room: int) -> bool:
        """Return whether a file that needs `room` bytes still fits."""
        if self._room is None:
            return True
        return self._file.tell() + self._directory + room <= self._room

    def put(self, file: Placeable, folder: str) -> tuple[Written, list[EntryInfo]]:
        """Add a file. Return the result of writing it, and its entries: its own, then those of its side files."""
        before = len(self.entries)
        written = file.put(self._archive, folder)
        added = self.entries[before:]
        self._directory += sum(ENTRY + len(entry.name.encode()) for entry in added)
        return written, added

    def close(self) -> None:
        """Close the file for now. The next write reopens it."""
        self._file.close()

    def finish(self, extras: Mapping[str, str]) -> None:
        """Add these texts as files, and complete the volume."""
        with self._archive as archive:
            for name, text in extras.items():
                with archive.entry(name) as entry:
                    entry.write(text.encode())
        self._file.close()


class Volumes:
    """The volumes of a bundle, in order. A context manager: leaving it closes their files.

    `limit` is the maximum size of a volume in bytes, or None. `first` and `other` are the bytes to keep free for the
    files that are added at the end, in the first volume and in each other volume.
    """

    def __init__(self, folder: Path, moment: datetime, limit: int | None, first: int, other: int) -> None:
        self._folder, self._moment = folder, moment
        self._room = None if limit is None else limit - other
        self.all: list[Volume] = []
        self._add(None if limit is None else limit - first)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for volume in self.all:
            volume.close()

    @property
    def capacity(self) -> int | None:
        """Bytes available to a file in an empty volume; None for no limit."""
        return self._room

    def volume_for(self, file: Placeable) -> Volume:
        """Return the volume for this file: the last one if the file still fits, else a new one."""
        oversize = self._room is not None and file.room > self._room
        volume = self.all[-1]
        if not volume.has_room(file.room) and (volume.entries or not oversize):
            volume.close()
            volume = self._add(self._room)
        volume.oversize |= oversize
        return volume

    def _add(self, room: int | None) -> Volume:
        self.all.append(Volume(self._folder / f"volume-{len(self.all) + 1}.zip", self._moment, room))
        return self.all[-1]


class _Reopened:
    """A file that opens on access, at the position where it was last closed."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._path, self._at = path, 0
        self._file: BinaryIO | None = None

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() if self._file else self._at

    def seek(self, at: int) -> int:
        return self._open().seek(at)

    def write(self, data: bytes) -> int:
        return self._open().write(data)

    def close(self) -> None:
        if self._file:
            self._at = self._file.tell()
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.open("r+b")
            self._file.seek(self._at)
        return self._file
