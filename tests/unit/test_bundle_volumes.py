"""Volumes while they are filled: which file goes into which volume, and files that are closed and reopened."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import pytest

from exports.formats import Written
from exports.formats.archive import Zip
from exports.formats.zip.entries import ENTRY, BundleFile, _groups
from exports.formats.zip.volumes import Volumes, _Reopened

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class StubFile:
    """A file of a bundle with `size` uncompressed bytes."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.room = name, size, size + ENTRY

    def put(self, archive: Zip, folder: str) -> Written:
        with archive.entry(folder + self.name, stored=True) as entry:
            entry.write(b"x" * self.size)
        return Written(1)


def fill(folder: Path, sizes: list[int], limit: int | None, first: int = 0, other: int = 0) -> list[list[int]]:
    """Fill and complete volumes, and check them with Python's own reader. Return the file sizes in each volume."""
    with Volumes(folder, NOON, limit, first, other) as volumes:
        for number, size in enumerate(sizes):
            file = cast("BundleFile", StubFile(str(number), size))
            volumes.volume_for(file).put(file, "in/")
        for volume in volumes.all:
            volume.finish({})
    for volume in volumes.all:
        assert limit is None or volume.oversize or volume.path.stat().st_size <= limit
        with ZipFile(volume.path) as archive:
            assert archive.testzip() is None
            assert [entry.file_size for entry in archive.infolist()] == [entry.size for entry in volume.entries]
    return [[entry.size for entry in volume.entries] for volume in volumes.all]


@pytest.mark.parametrize(
    ("sizes", "room", "volumes"),
    [
        ([5_000, 4_000, 9_000], {}, [[5_000, 4_000], [9_000]]),
        ([9_000, 9_000], {}, [[9_000], [9_000]]),
        ([20_000, 100], {}, [[20_000], [100]]),
        ([100, 20_000, 100], {}, [[100], [20_000], [100]]),
        ([9_000], {"first": 5_000}, [[], [9_000]]),
        ([4_000, 9_000], {"first": 5_000}, [[4_000], [9_000]]),
        ([20_000], {"first": 5_000}, [[20_000]]),
        ([4_000, 4_000], {"other": 5_000}, [[4_000, 4_000]]),
        ([9_000, 4_000, 4_000], {"other": 5_000}, [[9_000], [4_000], [4_000]]),
        ([], {}, [[]]),
    ],
)
def test_the_next_file_goes_into_the_last_volume_if_it_fits(
    tmp_path: Path, sizes: list[int], room: dict[str, int], volumes: list[list[int]]
) -> None:
    assert fill(tmp_path, sizes, 11_000, **room) == volumes


def test_without_a_limit_there_is_one_volume(tmp_path: Path) -> None:
    assert fill(tmp_path, [100] * 50, None) == [[100] * 50]


def test_entry_names_count_towards_the_size_of_a_volume(tmp_path: Path) -> None:
    volumes = fill(tmp_path, [1] * 300, 11_000)
    assert sum(map(len, volumes)) == 300
    assert len(volumes) > 3


def test_a_reopened_file_continues_where_it_was_closed(tmp_path: Path) -> None:
    file = _Reopened(tmp_path / "a")
    for word in (b"one ", b"two ", b"six"):
        file.write(word)
        file.close()
        assert file.tell() == (tmp_path / "a").stat().st_size
    file.seek(4)
    file.write(b"TWO")
    file.close()
    assert (tmp_path / "a").read_bytes() == b"one TWO six"


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([1, 2, 3], [[1, 2, 3]]),
        ([3, 3, 3, 3], [[3, 3], [3, 3]]),
        ([9, 1, 9, 9], [[9], [1], [9], [9]]),
        ([0, 0, 6, 0, 1], [[0, 0, 6, 0], [1]]),
        ([7], [[7]]),
    ],
)
def test_adjacent_items_are_grouped_while_they_fit(sizes: list[int], groups: list[Any]) -> None:
    assert _groups(sizes, sizes, 6) == groups
