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
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import storages

from exports.conf import export_settings
from exports.errors import Mismatch, StorageFailed, from_exception
from exports.storage.base import Store

logger = logging.getLogger(__name__)
BLOCK = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A file in the storage: its key, its bytes and their SHA-256 in hex."""

    key: str
    size: int
    sha256: str


def storage() -> Store:
    return cast("Store", storages[export_settings().storage_alias])


def scratch_dir() -> Path:
    """The scratch folder, which is there then."""
    folder = export_settings().scratch_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch(suffix: str) -> Iterator[BinaryIO]:
    """An open file in the scratch folder, for its owner's eyes only; gone at the end, whatever happens."""
    with tempfile.NamedTemporaryFile(dir=scratch_dir(), suffix=suffix, delete=False) as file:
        try:
            yield cast("BinaryIO", file)
        finally:
            Path(file.name).unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in the scratch folder, for its owner's eyes only; gone at the end with all that is in it."""
    with tempfile.TemporaryDirectory(dir=scratch_dir(), ignore_cleanup_errors=True) as folder:
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
    """Move a written scratch file into the storage and read it back. What cannot be kept is not left there.

    Raises Mismatch when it is another file then, DiskFull and StorageFailed.
    """
    with _refused():
        file.flush()
        os.fsync(file.fileno())
        size, sha256 = digest(file)
        file.seek(0)
        saved = storage().save(key, _Movable(file))
    stored = Stored(saved, size, sha256)
    try:
        verify(stored)
    except Exception:
        delete([saved])
        raise
    return stored


def verify(stored: Stored) -> None:
    """Raise Mismatch unless the storage gives back exactly these bytes."""
    with _refused(), open_artifact(stored.key) as file:
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
    """The stored file, for reading. Raises StorageFailed, whose cause is a FileNotFoundError when there is none."""
    with _refused():
        return cast("BinaryIO", storage().open(key, "rb"))


def is_lost(error: Exception) -> bool:
    """Of what opening a file here raised: is it gone or another one, and not just out of reach for now?"""
    return isinstance(error, Mismatch) or isinstance(error.__cause__, FileNotFoundError)


@contextmanager
def checked(stored: Stored) -> Iterator[BinaryIO]:
    """The stored file, for reading, at its start; what is read is what was compared. Raises Mismatch, StorageFailed.

    From another machine it is fetched once, to scratch: a second look might be at other bytes.
    """
    with ExitStack() as held:
        file = held.enter_context(open_artifact(stored.key))
        if not storage().here:
            copy = held.enter_context(scratch(".fetched"))
            with _refused():
                shutil.copyfileobj(file, copy, BLOCK)
            file = copy
        with _refused():
            found = digest(file)
        if found != (stored.size, stored.sha256):
            raise Mismatch
        file.seek(0)
        yield file


@contextmanager
def _refused() -> Iterator[None]:
    """Inside, what a storage raises is an error of ours."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise from_exception(error, StorageFailed) from error


def link(key: str, filename: str, content_type: str) -> str | None:
    """An address where a browser may fetch this file for a short time. None: we have to give it out ourselves."""
    with _refused():
        return storage().link(key, filename, content_type, export_settings().link_seconds)


def delete(keys: Iterable[str]) -> None:
    """Remove stored files. One that cannot be removed is logged and left to the purge of orphans."""
    files = storage()
    for key in filter(None, keys):
        try:
            files.delete(key)
        except OSError as error:
            logger.warning("The file %s was not removed (%s); the next purge tries again.", key, error)


def clear(folder: str, keep: Collection[str]) -> None:
    """Remove all that lies in a folder but these keys. What cannot be looked at now is left to the purge of orphans."""
    try:
        found = [key for key, _ in stored_keys(folder)]
    except OSError as error:
        logger.warning("The folder %s was not cleared (%s); the next purge tries again.", folder, error)
        return
    delete(key for key in found if key not in keep)


def stored_keys(folder: str = "") -> Iterator[tuple[str, datetime]]:
    """Every key in the storage, or in one folder of it, with the moment it was last changed (aware)."""
    return storage().listing(folder)


def drop_unfinished(before: datetime) -> int:
    """Give up uploads begun before that moment that never ended. Returns how many; they are nobody's file, so none
    is worth a purge that fails."""
    try:
        return storage().drop_unfinished(before)
    except OSError as error:
        logger.warning("Unfinished uploads were not looked for: %s", error)
        return 0


class _Movable(File[bytes]):
    """A scratch file that a store on this machine moves, and that one elsewhere sends straight from the disk."""

    def temporary_file_path(self) -> str:
        return str(self.name)
