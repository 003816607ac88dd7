"""ZIP files, written as they come: any size, any number of entries, deflate streams joined from parts.

The format is PKWARE's APPNOTE 6.3.10. An entry's sizes are not known when it begins, so its local header keeps twenty
bytes free: as "growth hint", the field that Office itself puts there, which becomes the ZIP64 field when the entry has
outgrown four gigabytes. (A ZIP64 field that nobody needs makes Excel offer to repair a workbook.)
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
"""What four and two bytes hold at most; as a value each says "look at the ZIP64 field"."""
STORED, DEFLATED = 0, 8
UTF8, SIZES_FOLLOW = 1 << 11, 1 << 3
PLAIN, ZIP64 = 20, 45
"""The version of the format that a reader must know."""
UNIX = 3 << 8
MODE = 0o100644 << 16

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
GROWTH = struct.pack("<4H12x", 0xA220, 16, 0xA028, 0)
EXTENDED_TIMESTAMP = struct.Struct("<2HBl")
"""Info-ZIP's field: seconds since 1970, in UTC."""
FOLLOWING = struct.Struct("<4sL2Q")
LAST = struct.Struct("<4s4H2LH")
LAST_ZIP64 = struct.Struct("<4sQ2H2L4Q")
WHERE_ZIP64 = struct.Struct("<4sLQL")

UNSAFE = re.compile(r"^$|\\|[\0-\x1f\x7f]|^/|^[A-Za-z]:|(^|/)\.{0,2}(/|$)")
"""No name at all, or one that some system takes for a place outside of the folder that it unpacks into."""


@dataclass(frozen=True)
class Listed:
    """A finished entry: its name, the sizes of its content and of what is stored, in bytes, and the checksums.

    `sha256`, in hex, is that of the content; empty unless the archive was asked for it.
    """

    name: str
    size: int
    packed: int
    crc: int
    sha256: str


class Zip:
    """A ZIP file, written to `out` from where it stands; every entry carries `moment`. Leaving `with` completes it.

    ZIP has no time zones: the time of day is written that `moment` has in its own zone, which is to be the reader's.
    `timestamps` adds the moment in UTC, for programs that unpack files in another zone.
    Where `out` can seek, headers are completed afterwards; where it cannot (a pipe), sizes follow the data.
    """

    def __init__(self, out: BinaryIO, moment: datetime, *, hashing: bool = False, timestamps: bool = False) -> None:
        self.listed: list[Listed] = []
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
        """An entry to write to until `with` is left; one at a time. Raises ValueError on a name that is not safe.

        `stored`: as it is, for what is packed already.
        """
        method = STORED if stored else DEFLATED
        header = _Header(
            self._claimed(name), method, self._moment, self._timestamp, self._at, sizes_follow=self._start is None
        )
        self._put(header.local(0, 0, 0))
        entry = Entry(self._put, stored=stored, hashing=self._hashing)
        yield entry
        listed = entry.finished(name)
        self._tell_sizes(header, listed)
        self._directory.append(header.central(listed.crc, listed.packed, listed.size))
        self.listed.append(listed)

    def stored(self, name: str, file: BinaryIO) -> Listed:
        """An entry that is `file` as it is, from where it stands to its end."""
        with self.entry(name, stored=True) as entry:
            while block := file.read(BLOCK):
                entry.write(block)
        return self.listed[-1]

    def _claimed(self, name: str) -> bytes:
        """The name's bytes. Two that Windows or macOS would unpack into one file are one name."""
        encoded = name.encode()
        if UNSAFE.search(name) or len(encoded) > MANY:
            raise ValueError(f"{name!r} is no safe name for an entry of an archive.")
        same = unicodedata.normalize("NFC", name).casefold()
        if same in self._names:
            raise ValueError(f"The archive has an entry {name!r} already.")
        self._names.add(same)
        return encoded

    def _tell_sizes(self, header: _Header, entry: Listed) -> None:
        if self._start is None:
            self._put(FOLLOWING.pack(b"PK\x07\x08", entry.crc, entry.packed, entry.size))
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
            self._put(LAST_ZIP64.pack(b"PK\x06\x06", 44, UNIX | ZIP64, ZIP64, 0, 0, count, count, size, at))
            self._put(WHERE_ZIP64.pack(b"PK\x06\x07", 0, where, 1))
        few = min(count, MANY)
        self._put(LAST.pack(b"PK\x05\x06", 0, 0, few, few, min(size, WIDE), min(at, WIDE), 0))

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._at += len(data)


class Entry:
    """One entry while it is written: bytes, and segments of deflate, in any order."""

    def __init__(self, put: Callable[[bytes], object], *, stored: bool, hashing: bool) -> None:
        self._put = put
        self._stored = stored
        self._sha256 = hashlib.sha256() if hashing else None
        self._told = Segment(0, 0, 0)
        self._open: Deflater | None = None

    def write(self, data: bytes) -> int:
        """Returns how many bytes were taken: all of them."""
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
        """Join a segment, which is the next `segment.packed` bytes of `file`; it is not packed again.

        It is believed what it says of its content, so let the file have been checked. Raises EOFError when it is short.
        """
        assert not self._stored
        if self._open:
            self._add(self._open.close())
            self._open = None
        packed = blocks(file, segment.packed)
        for data in inflated(self._passed(packed)) if self._sha256 else self._passed(packed):
            if self._sha256:
                self._sha256.update(data)
        self._add(segment)

    def finished(self, name: str) -> Listed:
        if self._open:
            self._add(self._open.finish())
        elif not self._stored:
            self._put(END)
            self._add(Segment(0, 0, len(END)))
        crc, size, packed = self._told
        return Listed(name, size, packed, crc, self._sha256.hexdigest() if self._sha256 else "")

    def _passed(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        for block in packed:
            self._put(block)
            yield block

    def _add(self, more: Segment) -> None:
        crc, size, packed = self._told
        self._told = Segment(join_crc(crc, more.crc, more.size), size + more.size, packed + more.packed)


class _Header(NamedTuple):
    """What stands in front of an entry, and again in the directory."""

    name: bytes
    method: int
    moment: tuple[int, int]
    timestamp: bytes
    at: int
    sizes_follow: bool

    def local(self, crc: int, packed: int, size: int) -> bytes:
        """Of the same length whatever the sizes."""
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
    """Time and date as ZIP has them: without a zone, in steps of two seconds, from 1980 to 2107."""
    year = min(max(moment.year, 1980), 2107)
    clock = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return clock, (year - 1980) << 9 | moment.month << 5 | moment.day


def _timestamp(moment: datetime) -> bytes:
    """The field of the moment in UTC; nothing before 1901 and after 2038, which it cannot say."""
    seconds = int(moment.timestamp())
    if not -(1 << 31) <= seconds < 1 << 31:
        return b""
    return EXTENDED_TIMESTAMP.pack(0x5455, 5, 1, seconds)
