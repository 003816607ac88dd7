"""Private artifacts: written to scratch, checked after the move, pointed to by a row, removed when no row does.

A file goes from a worker's scratch folder to the storage under a key that no other attempt uses; the row's pointer
makes it real. So a worker that comes back from the dead writes a file that nobody reads, and the purge removes it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.utils import timezone

from exports.conf import export_settings
from exports.errors import Mismatch, StorageFailed

logger = logging.getLogger(__name__)
BLOCK = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A file in the storage: its key, its bytes and their SHA-256 in hex."""

    key: str
    size: int
    sha256: str


def storage() -> Storage:
    return storages[export_settings().storage_alias]


@contextmanager
def scratch(suffix: str) -> Iterator[BinaryIO]:
    """An open file in the scratch folder, for its owner's eyes only; gone at the end, whatever happens."""
    folder = export_settings().scratch_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=suffix, delete=False) as file:
        try:
            yield cast("BinaryIO", file)
        finally:
            Path(file.name).unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in the scratch folder, for its owner's eyes only; gone at the end with all that is in it."""
    parent = export_settings().scratch_dir
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def clear_scratch(before: datetime) -> int:
    """Remove what killed workers of this machine left in the scratch folder before that moment. Returns how many."""
    count = 0
    for path in export_settings().scratch_dir.glob("*"):
        try:
            if path.stat().st_mtime < before.timestamp():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                count += 1
        except FileNotFoundError:  # its worker ended at this moment
            continue
    return count


def store(file: BinaryIO, key: str) -> Stored:
    """Move a written scratch file into the storage and read it back. Raises Mismatch when it is another file then."""
    file.flush()
    os.fsync(file.fileno())
    size, sha256 = digest(file)
    file.seek(0)
    saved = storage().save(key, _Movable(file))
    stored = Stored(saved, size, sha256)
    verify(stored)
    return stored


def verify(stored: Stored) -> None:
    """Raise Mismatch unless the storage gives back exactly these bytes."""
    with open_artifact(stored.key) as file:
        if digest(file) != (stored.size, stored.sha256):
            raise Mismatch


def digest(file: BinaryIO) -> tuple[int, str]:
    """Size in bytes and SHA-256 in hex of a file, from its start."""
    file.seek(0)
    sha256 = hashlib.sha256()
    while block := file.read(BLOCK):
        sha256.update(block)
    return file.tell(), sha256.hexdigest()


def open_artifact(key: str) -> BinaryIO:
    """The stored file, for reading. Raises StorageFailed when it is not there or cannot be read."""
    try:
        return cast("BinaryIO", storage().open(key, "rb"))
    except (OSError, ValueError) as error:
        raise StorageFailed from error


def delete(keys: Iterator[str] | list[str]) -> None:
    """Remove stored files. One that cannot be removed is logged and left to the purge of orphans."""
    files = storage()
    for key in filter(None, keys):
        try:
            files.delete(key)
        except OSError as error:
            logger.warning("The file %s was not removed (%s); the next purge tries again.", key, error)
        folder = str(PurePosixPath(key).parent)
        if folder != "." and isinstance(files, FileSystemStorage):
            with suppress(OSError):  # others are still in it
                files.delete(folder)


def stored_keys(folder: str = "") -> Iterator[tuple[str, datetime]]:
    """Every key in the storage with the moment it was last changed (aware)."""
    try:
        folders, names = storage().listdir(folder or ".")
    except FileNotFoundError:
        return
    prefix = f"{folder}/" if folder else ""
    for name in names:
        yield prefix + name, _changed(prefix + name)
    for name in folders:
        yield from stored_keys(prefix + name)


def _changed(key: str) -> datetime:
    try:
        return storage().get_modified_time(key)
    except FileNotFoundError:  # removed between the listing and the look
        return timezone.now()


class _Movable(File[bytes]):
    """A scratch file that FileSystemStorage may move instead of copy; other storages read it as any file."""

    def temporary_file_path(self) -> str:
        return str(self.name)
