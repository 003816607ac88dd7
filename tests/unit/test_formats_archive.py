from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast
from zoneinfo import ZoneInfo

import pytest

from exports.formats.archive import EntryInfo, Zip
from exports.formats.deflate import Segment, segment

MOMENT = datetime(2024, 7, 1, 12, 34, 57, tzinfo=UTC)
TEXT = b"one line of many\n" * 1_000


class Pipe(BytesIO):
    """A file that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *where: int) -> int:
        raise OSError("Illegal seek")


class Sparse:
    """A file that skips zeros instead of writing them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: bytes) -> int:
        if len(data) > 1_000 and not any(data[:100]):
            self.file.seek(len(data), os.SEEK_CUR)
            return len(data)
        return self.file.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


def fill(archive: Zip) -> None:
    with archive.entry("folder/text.csv") as entry:
        entry.write(TEXT[:100])
        entry.write(TEXT[100:])
    archive.stored("Größe 東京.bin", BytesIO(TEXT))
    with archive.entry("joined.xml") as entry:
        entry.write(b"<head>")
        entry.append(*parted(b"<row/>" * 50))
        entry.append(*parted(b"<end/>"))
        entry.write(b"</head>")
    with archive.entry("empty"):
        pass


CONTENTS = {
    "folder/text.csv": TEXT,
    "Größe 東京.bin": TEXT,
    "joined.xml": b"<head>" + b"<row/>" * 50 + b"<end/></head>",
    "empty": b"",
}


def parted(data: bytes) -> tuple[BinaryIO, Segment]:
    packed, facts = segment(data)
    return BytesIO(packed + b"what follows in the file"), facts


@pytest.fixture(params=[BytesIO, Pipe])
def out(request: pytest.FixtureRequest) -> BytesIO:
    made = request.param()
    assert isinstance(made, BytesIO)
    return made


def read(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_read_back(out: BytesIO) -> None:
    with Zip(out, MOMENT) as archive:
        fill(archive)
    assert read(out.getvalue()) == CONTENTS


def test_unzip_accepts_the_archive(out: BytesIO, tmp_path: Path) -> None:
    unzip = shutil.which("unzip")
    if unzip is None:
        pytest.skip("unzip is not installed.")
    with Zip(out, MOMENT) as archive:
        fill(archive)
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    done = subprocess.run([unzip, "-t", "a.zip"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_entries_have_sizes_and_checksums(out: BytesIO) -> None:
    with Zip(out, MOMENT, hashing=True) as archive:
        fill(archive)
    assert [entry.name for entry in archive.entries] == list(CONTENTS)
    with zipfile.ZipFile(BytesIO(out.getvalue())) as found:
        for entry in archive.entries:
            info, content = found.getinfo(entry.name), CONTENTS[entry.name]
            sha256 = hashlib.sha256(content).hexdigest()
            assert entry == EntryInfo(entry.name, len(content), info.compress_size, info.CRC, sha256)


def test_hashes_are_empty_unless_requested() -> None:
    with Zip(BytesIO(), MOMENT) as archive:
        fill(archive)
    assert {entry.sha256 for entry in archive.entries} == {""}


def test_the_same_bytes_at_any_time(out: BytesIO) -> None:
    again = type(out)()
    for target in (out, again):
        with Zip(target, MOMENT) as archive:
            fill(archive)
    assert out.getvalue() == again.getvalue()
    with zipfile.ZipFile(BytesIO(out.getvalue())) as found:
        assert {info.date_time for info in found.infolist()} == {(2024, 7, 1, 12, 34, 56)}


@pytest.mark.parametrize("there", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_unpacked_files_have_the_right_time_in_any_zone(out: BytesIO, tmp_path: Path, there: str) -> None:
    """The DOS time in the archive is local time of the owner's zone; unzip uses the timestamp in UTC."""
    local = MOMENT.astimezone(ZoneInfo("Europe/Berlin"))
    with Zip(out, local, timestamps=True) as archive:
        fill(archive)
    (tmp_path / "a.zip").write_bytes(out.getvalue())
    with zipfile.ZipFile(tmp_path / "a.zip") as found:
        assert found.testzip() is None
        assert {info.date_time for info in found.infolist()} == {(2024, 7, 1, 14, 34, 56)}
    environment = {**os.environ, "TZ": there}
    subprocess.run(["unzip", "-q", "a.zip"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "folder/text.csv").stat().st_mtime == MOMENT.timestamp()


def test_an_archive_after_other_bytes(out: BytesIO) -> None:
    out.write(b"before")
    with Zip(out, MOMENT) as archive:
        fill(archive)
    assert read(out.getvalue()[6:]) == CONTENTS


def test_small_archives_do_not_use_zip64() -> None:
    out = BytesIO()
    with Zip(out, MOMENT) as archive:
        fill(archive)
    with zipfile.ZipFile(out) as found:
        assert [(info.extract_version, info.extra) for info in found.infolist()] == [(20, b"")] * 4
    assert b"PK\x06\x06" not in out.getvalue()


NAMES = [
    "",
    "/etc/passwd",
    "../up",
    "a/../../b",
    "a//b",
    "a/",
    ".",
    "..",
    "a/./b",
    r"a\b",
    "C:/x",
    "c:x",
    "a\0b",
    "a\nb",
]


@pytest.mark.parametrize("name", [*NAMES, "x" * 65_536, "\ud800"])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not a safe name|surrogates"):
        Zip(BytesIO(), MOMENT).stored(name, BytesIO())


@pytest.mark.parametrize("name", ["...", "a/..b", ".hidden", "a b", "x" * 65_535, "-rf", "ö"])
def test_other_names_are_accepted(name: str) -> None:
    out = BytesIO()
    with Zip(out, MOMENT) as archive:
        archive.stored(name, BytesIO(b"x"))
    assert read(out.getvalue()) == {name: b"x"}


@pytest.mark.parametrize("name", ["Café.csv", "CAFÉ.csv", "Cafe\u0301.csv"])
def test_a_second_entry_with_the_same_name_is_refused(name: str) -> None:
    archive = Zip(BytesIO(), MOMENT)
    archive.stored("Café.csv", BytesIO())
    with pytest.raises(ValueError, match="already"):
        archive.stored(name, BytesIO())


@pytest.mark.parametrize("year", [1, 9999])
def test_moments_outside_the_range_of_zip(year: int) -> None:
    out = BytesIO()
    with Zip(out, datetime(year, 1, 1, tzinfo=UTC), timestamps=True) as archive:
        fill(archive)
    assert read(out.getvalue()) == CONTENTS


def test_a_failure_leaves_no_readable_archive() -> None:
    out = BytesIO()
    with pytest.raises(RuntimeError, match="stop"), Zip(out, MOMENT) as archive:
        fill(archive)
        raise RuntimeError("stop")
    assert not zipfile.is_zipfile(out)


@pytest.mark.slow
def test_more_than_65535_entries() -> None:
    out = BytesIO()
    with Zip(out, MOMENT) as archive:
        for number in range(65_600):
            archive.stored(str(number), BytesIO(b"%d" % number))
    with zipfile.ZipFile(out) as found:
        assert len(found.infolist()) == 65_600
        assert found.read("65599") == b"65599"
    assert b"PK\x06\x06" in out.getvalue()[-100:], "readers find the number of entries in the ZIP64 record"


@pytest.fixture
def sparse(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "large.zip"
    (tmp_path / "large.zip").unlink()


@pytest.mark.parametrize("size", [(1 << 32) - 2, (1 << 32) - 1, (1 << 32) + 5])
def test_more_than_four_gigabytes(sparse: Path, size: int) -> None:
    """Sizes and offsets that do not fit into four bytes. The content is zeros, which take no space in a sparse file."""
    zeros = bytes(1 << 24)
    with sparse.open("wb") as file, Zip(cast("BinaryIO", Sparse(file)), MOMENT, timestamps=True) as archive:
        with archive.entry("large", stored=True) as entry:
            for _ in range(size // len(zeros)):
                entry.write(zeros)
            entry.write(zeros[: size % len(zeros)])
        archive.stored("behind", BytesIO(b"behind"))
    with zipfile.ZipFile(sparse) as found:
        assert found.getinfo("large").file_size == size
        assert found.read("behind") == b"behind"
        with found.open("large") as large:
            assert large.read(1_000) == bytes(1_000)


def test_joined_segments_of_more_than_four_gigabytes(out: BytesIO) -> None:
    packed, facts = segment(bytes(1 << 28))
    with Zip(out, MOMENT) as archive, archive.entry("large") as entry:
        for _ in range(17):
            entry.append(BytesIO(packed), facts)
    with zipfile.ZipFile(BytesIO(out.getvalue())) as found:
        info = found.getinfo("large")
        assert info.file_size == 17 << 28
        assert archive.entries[0].crc == info.CRC
