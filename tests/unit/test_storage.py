"""Private artifacts: what was written is what is stored, nobody else can read it, and nothing is left behind."""

from __future__ import annotations

import errno
import hashlib
import os
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.utils import timezone

from exports import storage
from exports.conf import export_settings
from exports.errors import Mismatch, StorageFailed

pytestmark = pytest.mark.usefixtures("artifacts")
BYTES = b"a,b\r\n1,2\r\n"


def stored(key: str = "one/part-0-1.csv", content: bytes = BYTES) -> storage.Stored:
    with storage.scratch(".csv") as file:
        file.write(content)
        return storage.store(file, key)


def test_a_stored_file_is_what_was_written(artifacts: Path) -> None:
    kept = stored()
    assert (kept.size, kept.sha256) == (len(BYTES), hashlib.sha256(BYTES).hexdigest())
    with storage.open_artifact(kept.key) as file:
        assert file.read() == BYTES
    assert (artifacts / kept.key).read_bytes() == BYTES


def test_only_its_owner_can_read_the_file(artifacts: Path) -> None:
    kept = stored()
    assert (artifacts / kept.key).stat().st_mode & 0o777 == 0o600
    assert (artifacts / kept.key).parent.stat().st_mode & 0o777 == 0o700


def test_two_files_of_one_key_are_two_files() -> None:
    first, second = stored(content=b"1"), stored(content=b"2")
    assert first.key != second.key
    storage.verify(first)
    storage.verify(second)


def test_an_empty_file_is_a_file() -> None:
    assert stored(content=b"").size == 0


def test_the_scratch_folder_is_empty_afterwards() -> None:
    stored()
    with pytest.raises(ZeroDivisionError), storage.scratch(".csv") as file:
        file.write(b"x")
        raise ZeroDivisionError
    assert list(export_settings().scratch_dir.iterdir()) == []
    assert export_settings().scratch_dir.stat().st_mode & 0o777 == 0o700


def test_a_storage_that_loses_bytes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(self: FileSystemStorage, name: str, content: Any) -> str:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True)
        path.write_bytes(content.read()[:-1])
        return name

    monkeypatch.setattr(FileSystemStorage, "save", save)
    with pytest.raises(Mismatch):
        stored()


def test_a_changed_file_is_found_out(artifacts: Path) -> None:
    kept = stored()
    (artifacts / kept.key).write_bytes(BYTES[::-1])
    with pytest.raises(Mismatch):
        storage.verify(kept)


def test_a_file_that_is_gone_says_so() -> None:
    with pytest.raises(StorageFailed):
        storage.open_artifact("no/such/file")


def test_a_key_that_leaves_the_storage_is_refused() -> None:
    with pytest.raises(Exception, match="path"):
        storage.open_artifact("../../etc/passwd")


def test_the_digest_is_of_the_whole_file() -> None:
    file: BinaryIO = BytesIO(BYTES)
    file.seek(5)
    assert storage.digest(file) == (len(BYTES), hashlib.sha256(BYTES).hexdigest())


def test_deleting_is_quiet_about_what_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = stored()
    storage.delete([kept.key, "", "no/such/file"])
    assert list(storage.stored_keys()) == []

    def refuse(self: FileSystemStorage, name: str) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileSystemStorage, "delete", refuse)
    storage.delete(["one"])
    assert "one was not removed" in caplog.text


def test_every_stored_key_is_listed_with_its_age(artifacts: Path) -> None:
    kept = [stored("a/b/1").key, stored("a/2").key, stored("3").key]
    old = timezone.now() - timedelta(days=2)
    os.utime(artifacts / "3", (old.timestamp(), old.timestamp()))
    found = dict(storage.stored_keys())
    assert set(found) == set(kept)
    assert [key for key, changed in found.items() if changed < timezone.now() - timedelta(days=1)] == ["3"]


def test_an_empty_storage_lists_nothing() -> None:
    assert list(storage.stored_keys()) == []


def test_what_killed_workers_left_in_the_scratch_folder_goes_when_it_is_old() -> None:
    with storage.scratch(".csv") as mine:
        left = Path(mine.name).with_name("left-by-a-killed-worker.csv")
        left.write_bytes(b"x")
        os.utime(left, (0, 0))
        assert storage.clear_scratch(timezone.now() - timedelta(hours=1)) == 1
        assert not left.exists()
        assert Path(mine.name).exists()


def test_the_last_file_takes_its_folder_along(artifacts: Path) -> None:
    for key in ("an-export/part-0", "an-export/part-1"):
        storage.storage().save(key, ContentFile(b"x"))
    storage.delete(["an-export/part-0"])
    assert (artifacts / "an-export").is_dir()
    storage.delete(["an-export/part-1"])
    assert not (artifacts / "an-export").exists()
    assert artifacts.is_dir()
