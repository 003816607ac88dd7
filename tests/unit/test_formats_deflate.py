from __future__ import annotations

import zlib
from io import BytesIO
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from exports.formats.deflate import END, Deflater, Segment, blocks, inflated, join_crc, segment


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_joined_segments_are_one_stream(runs: list[bytes]) -> None:
    packed = b"".join(segment(run)[0] for run in runs) + END
    reader = zlib.decompressobj(-zlib.MAX_WBITS)
    assert reader.decompress(packed) == b"".join(runs)
    assert reader.eof
    assert b"".join(inflated([packed])) == b"".join(runs)


def test_a_segment_has_checksum_and_sizes() -> None:
    packed, facts = segment(b"row" * 100_000)
    assert facts == Segment(zlib.crc32(b"row" * 100_000), 300_000, len(packed))


def test_a_segment_does_not_refer_to_earlier_data() -> None:
    text = bytes(range(256)) * 40
    assert segment(text)[0] == segment(text)[0], "a segment must not depend on earlier ones"
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(segment(text)[0]) == text


def test_a_finished_stream_needs_no_end() -> None:
    packed: list[bytes] = []
    deflater = Deflater(packed.append)
    deflater.write(b"some")
    deflater.write(b"thing")
    assert deflater.finish() == Segment(zlib.crc32(b"something"), 9, len(b"".join(packed)))
    assert zlib.decompress(b"".join(packed), -zlib.MAX_WBITS) == b"something"


@given(st.binary(max_size=2_000), st.binary(max_size=2_000))
def test_checksums_are_combined(first: bytes, second: bytes) -> None:
    assert join_crc(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_inflating_yields_blocks_of_limited_size() -> None:
    packed, _facts = segment(bytes(50_000_000))
    sizes = [len(block) for block in inflated([packed])]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 1 << 20


def test_invalid_deflate_data_raises() -> None:
    with pytest.raises(cast("type[Exception]", isal_zlib.error)):
        list(inflated([b"\xff" * 100]))


def test_a_short_file_raises() -> None:
    with pytest.raises(EOFError, match="7 bytes are missing"):
        list(blocks(BytesIO(b"abc"), 10))
