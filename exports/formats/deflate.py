"""Raw deflate (RFC 1951) in segments that can be joined: each ends on a byte boundary and refers to no earlier data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from isal import isal_zlib

LEVEL = isal_zlib.ISAL_DEFAULT_COMPRESSION
"""Level 2 of 0 to 3. Measured with a sheet's XML on one core: level 0 compresses 1,110 MB/s to 19.2 %, levels 1 and 2
1,150 MB/s to 15.9 % and 15.7 %, level 3 465 MB/s to 15.5 %; zlib's level 6 compresses 95 MB/s to 12.9 %."""
END = b"\x03\x00"
"""An empty final block, which completes a stream of joined segments."""
BLOCK = 1 << 20


class Segment(NamedTuple):
    """A section of a deflate stream: CRC-32 and size of its content, and its compressed size; sizes in bytes."""

    crc: int
    size: int
    packed: int


class Deflater:
    """Compresses data and passes the result to `put`. `close` ends a segment, `finish` a whole stream."""

    def __init__(self, put: Callable[[bytes], object], level: int = LEVEL) -> None:
        self._put = put
        self._packer = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        self._crc = self._size = self._packed = 0

    def write(self, data: bytes) -> None:
        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)
        self._emit(self._packer.compress(data))

    def close(self) -> Segment:
        """End the segment. More segments may follow; END must follow the last one."""
        return self._flush(isal_zlib.Z_FULL_FLUSH)

    def finish(self) -> Segment:
        """End the whole stream."""
        return self._flush(isal_zlib.Z_FINISH)

    def _flush(self, how: int) -> Segment:
        self._emit(self._packer.flush(how))
        return Segment(self._crc, self._size, self._packed)

    def _emit(self, packed: bytes) -> None:
        if packed:
            self._put(packed)
            self._packed += len(packed)


def segment(data: bytes, level: int = LEVEL) -> tuple[bytes, Segment]:
    """Compress `data` into one segment."""
    packed: list[bytes] = []
    deflater = Deflater(packed.append, level)
    deflater.write(data)
    facts = deflater.close()
    return b"".join(packed), facts


def join_crc(first: int, second: int, size: int) -> int:
    """Return the CRC-32 of two concatenated byte strings from their CRC-32s. `size` is the length of the second."""
    return int(isal_zlib.crc32_combine(first, second, size))


def inflated(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of joined segments in blocks. Raises isal_zlib.error on invalid data."""
    unpacker = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    for block in packed:
        data = unpacker.decompress(block, BLOCK)
        while data:
            yield data
            data = unpacker.decompress(unpacker.unconsumed_tail, BLOCK)


def blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of `file` in blocks. Raises EOFError if there are fewer."""
    while size:
        block = file.read(min(size, BLOCK))
        if not block:
            raise EOFError(f"{size} bytes are missing at the end of the file.")
        size -= len(block)
        yield block
