"""Streaming ZIP writer: any size, any number of entries, deflate streams joined from parts.

The format is PKWARE's APPNOTE 6.3.10. An entry's sizes are unknown when it begins, so its local header reserves twenty
bytes. They hold a "growth hint", the extra field that Office itself writes there, and are replaced by the ZIP64 field
when the entry exceeds four gigabytes. (An unnecessary ZIP64 field makes Excel offer to repair a workbook.)
"""

from __future__ import annotations

import hashlib
import re
import struct
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from isal import isal_zlib

from exports.formats.deflate import BLOCK, END, Deflater, Segment, blocks, inflated, join_crc

WIDE, MANY = 0xFFFFFFFF, 0xFFFF
"""The largest values of four and two bytes. As a field's value, each means "see the ZIP64 field"."""
STORED, DEFLATED = 0, 8
UTF8, SIZES_FOLLOW = 1 << 11, 1 << 3
PLAIN, ZIP64 = 20, 45
"""The version of the format that a reader must support."""
UNIX = 3 << 8
MODE = 0o100644 << 16

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
GROWTH = struct.pack("<4H12x", 0xA220, 16, 0xA028, 0)
EXTENDED_TIMESTAMP = struct.Struct("<2HBl")
"""Info-ZIP's extra field: seconds since 1970, in UTC."""
DATA_DESCRIPTOR = struct.Struct("<4sL2Q")
END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
END_OF_DIRECTORY_ZIP64 = struct.Struct("<4sQ2H2L4Q")
END_LOCATOR_ZIP64 = struct.Struct("<4sLQL")

UNSAFE = re.compile(r"^$|\\|[\0-\x1f\x7f]|^/|^[A-Za-z]:|(^|/)\.{0,2}(/|$)")
"""Matches an empty name, and any name that some system would unpack outside the target folder."""


@dataclass(frozen=True)
class EntryInfo:
    """A finished entry: its name, the sizes of its content and of its stored data in bytes, and its checksums.

    `sha256` is the hex digest of the content, or empty unless the archive was created with `hashing`.
    """

    name: str
    size: int
    packed: int
    crc: int
    sha256: str


class Zip:
    """A ZIP file, written to `out` from its current position. A context manager: leaving it completes the file.

    Every entry carries `moment`. ZIP has no time zones, so its local time is written: pass it in the reader's zone.
    `timestamps` adds the moment in UTC, for programs that unpack files in another zone.
    If `out` can seek, headers are completed afterwards; otherwise (a pipe), sizes follow the data.
    """

    def __init__(self, out: BinaryIO, moment: datetime, *, hashing: bool = False, timestamps: bool = False) -> None:
        self.entries: list[EntryInfo] = []
        self._out = out
        self._start = out.tell() if out.seekable() else None
        self._at = 0
        self._moment = _dos(moment)
        self._timestamp = _timestamp(moment) if timestamps else b""
        self._hashing = hashing
        self._names: set[str] = set()
        self._directory: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()

    @contextmanager
    def entry(self, name: str, *, stored: bool = False) -> Iterator[Entry]:
        """Open an entry for writing; one at a time. Raises ValueError for an unsafe or duplicate name.

        `stored` writes it without compression, for data that is compressed already.
        """
        method = STORED if stored else DEFLATED
        header = _Header(
            self._reserve_name(name), method, self._moment, self._timestamp, self._at, sizes_follow=self._start is None
        )
        self._put(header.local(0, 0, 0))
        entry = Entry(self._put, stored=stored, hashing=self._hashing)
        yield entry
        info = entry.finished(name)
        self._write_sizes(header, info)
        self._directory.append(header.central(info.crc, info.packed, info.size))
        self.entries.append(info)

    def stored(self, name: str, file: BinaryIO) -> EntryInfo:
        """Add the rest of `file` as an uncompressed entry."""
        with self.entry(name, stored=True) as entry:
            while block := file.read(BLOCK):
                entry.write(block)
        return self.entries[-1]

    def _reserve_name(self, name: str) -> bytes:
        """Record a name and return its bytes. Raises ValueError if it is unsafe, or if Windows or macOS would unpack it
        into the same file as an earlier entry.
        """
        encoded = name.encode()
        if UNSAFE.search(name) or len(encoded) > MANY:
            raise ValueError(f"{name!r} is not a safe name for an archive entry.")
        same = unicodedata.normalize("NFC", name).casefold()
        if same in self._names:
            raise ValueError(f"The archive already has an entry {name!r}.")
        self._names.add(same)
        return encoded

    def _write_sizes(self, header: _Header, entry: EntryInfo) -> None:
        if self._start is None:
            self._put(DATA_DESCRIPTOR.pack(b"PK\x07\x08", entry.crc, entry.packed, entry.size))
            return
        self._out.seek(self._start + header.at)
        self._out.write(header.local(entry.crc, entry.packed, entry.size))
        self._out.seek(self._start + self._at)

    def _finish(self) -> None:
        at, count = self._at, len(self._directory)
        for central in self._directory:
            self._put(central)
        size = self._at - at
        if count >= MANY or at >= WIDE or size >= WIDE:
            where = self._at
            self._put(END_OF_DIRECTORY_ZIP64.pack(b"PK\x06\x06", 44, UNIX | ZIP64, ZIP64, 0, 0, count, count, size, at))
            self._put(END_LOCATOR_ZIP64.pack(b"PK\x06\x07", 0, where, 1))
        few = min(count, MANY)
        self._put(END_OF_DIRECTORY.pack(b"PK\x05\x06", 0, 0, few, few, min(size, WIDE), min(at, WIDE), 0))

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._at += len(data)


class Entry:
    """An entry that is being written. It takes bytes and deflate segments, in any order."""

    def __init__(self, put: Callable[[bytes], object], *, stored: bool, hashing: bool) -> None:
        self._put = put
        self._stored = stored
        self._sha256 = hashlib.sha256() if hashing else None
        self._total = Segment(0, 0, 0)
        self._open: Deflater | None = None

    def write(self, data: bytes) -> int:
        """Write `data` and return its length."""
        if self._sha256:
            self._sha256.update(data)
        if self._stored:
            self._put(data)
            self._add(Segment(isal_zlib.crc32(data), len(data), len(data)))
        else:
            self._open = self._open or Deflater(self._put)
            self._open.write(data)
        return len(data)

    def append(self, file: BinaryIO, segment: Segment) -> None:
        """Append the next `segment.packed` bytes of `file` as they are, without compressing them again.

        The segment's size and CRC-32 are not verified, so the file must have been checked before. Raises EOFError if
        `file` is too short.
        """
        assert not self._stored
        if self._open:
            self._add(self._open.close())
            self._open = None
        packed = blocks(file, segment.packed)
        for data in inflated(self._put_through(packed)) if self._sha256 else self._put_through(packed):
            if self._sha256:
                self._sha256.update(data)
        self._add(segment)

    def finished(self, name: str) -> EntryInfo:
        if self._open:
            self._add(self._open.finish())
        elif not self._stored:
            self._put(END)
            self._add(Segment(0, 0, len(END)))
        crc, size, packed = self._total
        return EntryInfo(name, size, packed, crc, self._sha256.hexdigest() if self._sha256 else "")

    def _put_through(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        for block in packed:
            self._put(block)
            yield block

    def _add(self, more: Segment) -> None:
        crc, size, packed = self._total
        self._total = Segment(join_crc(crc, more.crc, more.size), size + more.size, packed + more.packed)


class _Header(NamedTuple):
    """The header of an entry, written before its data and again in the central directory."""

    name: bytes
    method: int
    moment: tuple[int, int]
    timestamp: bytes
    at: int
    sizes_follow: bool

    def local(self, crc: int, packed: int, size: int) -> bytes:
        """Return the local header. Its length does not depend on the sizes."""
        wide = self.sizes_follow or max(packed, size) >= WIDE
        extra = self.timestamp + (struct.pack("<2H2Q", 1, 16, size, packed) if wide else GROWTH)
        packed, size = (WIDE, WIDE) if wide else (packed, size)
        fields = (self._flags, self.method, *self.moment, crc, packed, size, len(self.name), len(extra))
        return LOCAL.pack(b"PK\x03\x04", ZIP64 if wide else PLAIN, *fields) + self.name + extra

    def central(self, crc: int, packed: int, size: int) -> bytes:
        numbers = (size, packed, self.at)
        wide = [number for number in numbers if number >= WIDE]
        extra = self.timestamp
        extra += struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        size, packed, at = (min(number, WIDE) for number in numbers)
        needed = ZIP64 if wide or self.sizes_follow else PLAIN
        fields = (self._flags, self.method, *self.moment, crc, packed, size, len(self.name), len(extra))
        return CENTRAL.pack(b"PK\x01\x02", UNIX | needed, needed, *fields, 0, 0, 0, MODE, at) + self.name + extra

    @property
    def _flags(self) -> int:
        return (0 if self.name.isascii() else UTF8) | (SIZES_FOLLOW if self.sizes_follow else 0)


def _dos(moment: datetime) -> tuple[int, int]:
    """Return time and date in the MS-DOS format of ZIP: no zone, steps of two seconds, years 1980 to 2107."""
    year = min(max(moment.year, 1980), 2107)
    clock = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return clock, (year - 1980) << 9 | moment.month << 5 | moment.day


def _timestamp(moment: datetime) -> bytes:
    """Return the extra field with the moment in UTC; empty before 1901 and after 2038, which it cannot represent."""
    seconds = int(moment.timestamp())
    if not -(1 << 31) <= seconds < 1 << 31:
        return b""
    return EXTENDED_TIMESTAMP.pack(0x5455, 5, 1, seconds)
