"""The volumes of a bundle while they are filled: ZIP files on scratch, each of which a last file may still go into."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self, cast

from exports.formats import Written
from exports.formats.archive import Listed, Zip
from exports.formats.zip.entries import ENTRY, Piece


class Box:
    """One volume. However many there are, only the one that is written to is open.

    `oversize`: it holds a piece that fits into none, because it is made of a single part.
    """

    def __init__(self, path: Path, moment: datetime, room: int | None) -> None:
        self.path, self.oversize = path, False
        self._file = _Reopened(path)
        self._room = room
        self._archive = Zip(cast("BinaryIO", self._file), moment, hashing=True, timestamps=True)

    @property
    def listed(self) -> list[Listed]:
        return self._archive.listed

    def takes(self, room: int) -> bool:
        """Is there so much room left?"""
        if self._room is None:
            return True
        directory = sum(ENTRY + len(entry.name.encode()) for entry in self.listed)
        return self._file.tell() + directory + room <= self._room

    def put(self, piece: Piece, folder: str) -> tuple[Written, list[Listed]]:
        """Add a piece; what it has become, and the entries that it is: its own, and those beside it."""
        before = len(self.listed)
        written = piece.put(self._archive, folder)
        return written, self.listed[before:]

    def rest(self) -> None:
        """Nothing is written to it for a while."""
        self._file.close()

    def finish(self, extras: Mapping[str, str]) -> None:
        """Add these texts as files, and complete it."""
        with self._archive as archive:
            for name, text in extras.items():
                with archive.entry(name) as entry:
                    entry.write(text.encode())
        self._file.close()


class Shelf:
    """The volumes in order; a context manager, that closes them. `limit` is what one may have in bytes (None: any).

    `first` and `other` are the bytes kept free in the first volume and in each other one for what is added at the end.
    """

    def __init__(self, folder: Path, moment: datetime, limit: int | None, first: int, other: int) -> None:
        self._folder, self._moment = folder, moment
        self._room = None if limit is None else limit - other
        self.boxes: list[Box] = []
        self._add(None if limit is None else limit - first)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for box in self.boxes:
            box.rest()

    @property
    def capacity(self) -> int | None:
        """What a piece may take of a volume that is empty."""
        return self._room

    def box_for(self, piece: Piece) -> Box:
        """The volume that this piece goes into: the last one if it still fits, else a new one."""
        oversize = self._room is not None and piece.room > self._room
        box = self.boxes[-1]
        if not box.takes(piece.room) and (box.listed or not oversize):
            box.rest()
            box = self._add(self._room)
        box.oversize |= oversize
        return box

    def _add(self, room: int | None) -> Box:
        self.boxes.append(Box(self._folder / f"volume-{len(self.boxes) + 1}.zip", self._moment, room))
        return self.boxes[-1]


class _Reopened:
    """A file that is opened when something is written to it, at the place where it was closed."""

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
