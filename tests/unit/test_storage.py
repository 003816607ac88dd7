"""Private artifacts: stored as written, readable only by their owner, with nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import nullcontext
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.utils import timezone

from exports.conf import export_settings
from exports.errors import Mismatch, StorageFailed
from exports.storage import artifacts, folder
from exports.storage.base import Store
from exports.storage.folder import INCOMING

pytestmark = pytest.mark.usefixtures("artifact_dir")
BYTES = b"a,b\r\n1,2\r\n"


def stored(key: str = "one/part-0-1.csv", content: bytes = BYTES) -> artifacts.Stored:
    with artifacts.scratch(".csv") as file:
        file.write(content)
        return artifacts.store(file, key)


def test_a_stored_file_equals_the_written_one(artifact_dir: Path) -> None:
    kept = stored()
    assert (kept.size, kept.sha256) == (len(BYTES), hashlib.sha256(BYTES).hexdigest())
    with artifacts.open_artifact(kept.key) as file:
        assert file.read() == BYTES
    assert (artifact_dir / kept.key).read_bytes() == BYTES


def test_only_its_owner_can_read_the_file(artifact_dir: Path) -> None:
    kept = stored()
    assert (artifact_dir / kept.key).stat().st_mode & 0o777 == 0o600
    assert (artifact_dir / kept.key).parent.stat().st_mode & 0o777 == 0o700


def test_saving_a_key_twice_keeps_both_files() -> None:
    first, second = stored(content=b"1"), stored(content=b"2")
    assert first.key != second.key
    artifacts.verify(first)
    artifacts.verify(second)


def test_an_empty_file_is_stored() -> None:
    assert stored(content=b"").size == 0


def test_the_scratch_folder_is_empty_afterwards() -> None:
    stored()
    with pytest.raises(ZeroDivisionError), artifacts.scratch(".csv") as file:
        file.write(b"x")
        raise ZeroDivisionError
    assert list(export_settings().scratch_dir.iterdir()) == []
    assert export_settings().scratch_dir.stat().st_mode & 0o777 == 0o700


def test_a_truncated_file_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(self: FileSystemStorage, name: str, content: Any) -> str:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True)
        path.write_bytes(content.read()[:-1])
        return name

    monkeypatch.setattr(FileSystemStorage, "save", save)
    with pytest.raises(Mismatch):
        stored()


def test_a_changed_file_is_detected(artifact_dir: Path) -> None:
    kept = stored()
    (artifact_dir / kept.key).write_bytes(BYTES[::-1])
    with pytest.raises(Mismatch):
        artifacts.verify(kept)


def test_a_missing_file_raises_storage_failed() -> None:
    with pytest.raises(StorageFailed):
        artifacts.open_artifact("no/such/file")


def test_a_key_outside_the_storage_is_refused() -> None:
    with pytest.raises(Exception, match="path"):
        artifacts.open_artifact("../../etc/passwd")


def test_the_digest_covers_the_whole_file() -> None:
    file: BinaryIO = BytesIO(BYTES)
    file.seek(5)
    assert artifacts.digest(file) == (len(BYTES), hashlib.sha256(BYTES).hexdigest())


def test_deleting_ignores_missing_files_and_logs_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = stored()
    artifacts.delete([kept.key, "", "no/such/file"])
    assert list(artifacts.stored_keys()) == []

    def refuse(self: FileSystemStorage, name: str) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileSystemStorage, "delete", refuse)
    artifacts.delete(["one"])
    assert "one was not removed" in caplog.text


def test_every_stored_key_is_listed_with_its_last_change(artifact_dir: Path) -> None:
    kept = [stored("a/b/1").key, stored("a/2").key, stored("3").key]
    old = timezone.now() - timedelta(days=2)
    os.utime(artifact_dir / "3", (old.timestamp(), old.timestamp()))
    found = dict(artifacts.stored_keys())
    assert set(found) == set(kept)
    assert [key for key, changed in found.items() if changed < timezone.now() - timedelta(days=1)] == ["3"]


def test_an_empty_storage_lists_nothing() -> None:
    assert list(artifacts.stored_keys()) == []


def test_old_scratch_files_of_killed_workers_are_removed() -> None:
    with artifacts.scratch(".csv") as mine:
        left = Path(mine.name).with_name("left-by-a-killed-worker.csv")
        left.write_bytes(b"x")
        os.utime(left, (0, 0))
        assert artifacts.clear_scratch(timezone.now() - timedelta(hours=1)) == 1
        assert not left.exists()
        assert Path(mine.name).exists()


def test_a_folder_is_removed_with_its_last_file(artifact_dir: Path) -> None:
    for key in ("an-export/part-0", "an-export/part-1"):
        artifacts.storage().save(key, ContentFile(b"x"))
    artifacts.delete(["an-export/part-0"])
    assert (artifact_dir / "an-export").is_dir()
    artifacts.delete(["an-export/part-1"])
    assert not (artifact_dir / "an-export").exists()
    assert artifact_dir.is_dir()


# --- the folder: complete files on disk, or no file -------------------------------------------------------------------


def test_the_file_is_synced_then_moved_then_its_folder_is_synced(
    artifact_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        steps.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().relative_to(artifact_dir.parent).parts[0:2]}")
        fsync(handle)

    def moved(path: Path, target: Path) -> Path:
        steps.append(f"move to {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", moved)
    stored("one/part-0-1.csv")
    file, *rest = steps
    assert file.startswith("sync ('scratch', ")
    assert rest == [
        "sync ()",  # the folder that the artifacts' folder was made in
        "sync ('artifacts',)",
        "move to part-0-1.csv",
        "sync ('artifacts', 'one')",
    ]


def test_a_file_from_another_disk_is_copied_and_synced(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    synced: list[str] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(os, "fsync", noted)
    kept = stored()
    assert [name for name in synced if name.startswith(INCOMING)]
    assert (artifact_dir / kept.key).stat().st_mode & 0o777 == 0o600
    assert list(artifact_dir.rglob(f"{INCOMING}*")) == []
    assert list(export_settings().scratch_dir.iterdir()) == []


@pytest.mark.parametrize("step", ["rename", "chmod", "replace"])
def test_a_failing_step_leaves_no_file(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, step, refuse)
    with pytest.raises(StorageFailed):
        stored()
    assert [path for path in artifact_dir.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_synced_keeps_no_file(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        if path.name == "one":
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(folder, "sync", refuse)
    with pytest.raises(StorageFailed):
        stored()
    assert [path for path in artifact_dir.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("code", "passed"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_system_without_folder_sync_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, passed: bool
) -> None:
    def refuse(handle: int) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    with nullcontext() if passed else pytest.raises(OSError, match="no"):
        folder.sync(tmp_path)


def test_a_folder_removed_meanwhile_is_created_again(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename
    removed: list[Path] = []

    def remove_once(path: Path, target: Path) -> Path:
        if not removed:
            removed.append(target.parent)
            target.parent.rmdir()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", remove_once)
    assert (artifact_dir / stored().key).read_bytes() == BYTES
    assert removed


def test_a_missing_storage_folder_does_not_mean_lost_files(artifact_dir: Path) -> None:
    kept = stored()
    with pytest.raises(StorageFailed) as caught:
        artifacts.open_artifact("no/such/file")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    artifact_dir.rename(artifact_dir.with_name("elsewhere"))
    with pytest.raises(StorageFailed) as caught:
        artifacts.open_artifact(kept.key)
    assert not isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder_is_cleared_except_for_kept_keys() -> None:
    keys = [stored(f"one/{number}").key for number in range(3)]
    other = stored("two/0").key
    artifacts.clear("one", keep={keys[1]})
    assert {key for key, _ in artifacts.stored_keys()} == {keys[1], other}
    artifacts.clear("three", keep=[])


def test_a_folder_that_cannot_be_listed_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: FileSystemStorage, name: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(FileSystemStorage, "listdir", refuse)
    artifacts.clear("one", keep=[])
    assert "The folder one was not cleared" in caplog.text


def test_a_file_is_compared_before_it_is_read(artifact_dir: Path) -> None:
    kept = stored()
    with artifacts.checked(kept) as file:
        assert file.read() == BYTES
    (artifact_dir / kept.key).write_bytes(BYTES[::-1])
    with pytest.raises(Mismatch), artifacts.checked(kept):
        pass


def test_any_django_storage_can_be_a_store() -> None:
    class MemoryStore(Store, InMemoryStorage):
        here = False

    kept: Any = MemoryStore()
    kept.save("a/b/1", ContentFile(b"x"))
    assert [key for key, _ in kept.listing()] == ["a/b/1"]
    assert list(kept.listing("c")) == []
    assert (kept.link("a/b/1", "1", "text/csv", 60), kept.is_public("a/b/1")) == (None, False)
    assert kept.drop_unfinished(timezone.now()) == 0
