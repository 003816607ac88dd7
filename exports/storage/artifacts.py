"""Private artifacts: written to scratch, verified in the storage, referenced by a row, removed without a reference.

A file moves from a worker's scratch folder to the storage under a key that no other attempt uses. It counts only once a
row refers to it. So a file of a worker that has lost its lease is never read, and the purge removes it.
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
from exports.storage.folder import ArtifactFolder

logger = logging.getLogger(__name__)
BLOCK = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A file in the storage: its key, its size in bytes and its SHA-256 in hex."""

    key: str
    size: int
    sha256: str


def storage() -> Store:
    """Return the storage of artifacts: an entry of STORAGES, or else a private folder."""
    config = export_settings()
    if config.storage_alias is not None:
        return cast("Store", storages[config.storage_alias])
    return ArtifactFolder(location=config.artifact_dir)


def whereabouts() -> str:
    """Return where files are stored and written, in words for operators."""
    return f"files are in {storage().place}, scratch files in {export_settings().scratch_dir}"


def scratch_dir() -> Path:
    """Return the scratch folder. Create it if necessary."""
    folder = Path(export_settings().scratch_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch(suffix: str) -> Iterator[BinaryIO]:
    """Open a new file in the scratch folder, readable only by its owner. It is always removed at the end."""
    with tempfile.NamedTemporaryFile(dir=scratch_dir(), suffix=suffix, delete=False) as file:
        try:
            yield cast("BinaryIO", file)
        finally:
            Path(file.name).unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a folder in the scratch folder, readable only by its owner. It is removed with its contents at the end."""
    with tempfile.TemporaryDirectory(dir=scratch_dir(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def clear_scratch(before: datetime) -> int:
    """Remove scratch files that killed workers of this machine left before that moment. Return their number."""
    count = 0
    for path in Path(export_settings().scratch_dir).glob("*"):
        try:
            if path.stat().st_mtime < before.timestamp():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                count += 1
        except FileNotFoundError:  # its worker has just removed it
            continue
    return count


def store(file: BinaryIO, key: str) -> Stored:
    """Move a written scratch file into the storage and read it back. If that fails, remove it from the storage.

    Raises Mismatch if the stored file differs, DiskFull and StorageFailed.
    """
    with _as_export_error():
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
    """Raise Mismatch unless the storage returns exactly these bytes."""
    with _as_export_error(), open_artifact(stored.key) as file:
        if digest(file) != (stored.size, stored.sha256):
            raise Mismatch


def digest(file: BinaryIO) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 in hex of a whole file."""
    file.seek(0)
    sha256 = hashlib.sha256()
    while block := file.read(BLOCK):
        sha256.update(block)
    return file.tell(), sha256.hexdigest()


def open_artifact(key: str) -> BinaryIO:
    """Open the stored file for reading. Raises StorageFailed, caused by a FileNotFoundError if it does not exist."""
    with _as_export_error():
        return cast("BinaryIO", storage().open(key, "rb"))


def is_lost(error: Exception) -> bool:
    """Return whether an error of opening a file here means that it is gone or changed, not just out of reach."""
    return isinstance(error, Mismatch) or isinstance(error.__cause__, FileNotFoundError)


@contextmanager
def checked(stored: Stored) -> Iterator[BinaryIO]:
    """Open the stored file for reading after comparing it. Raises Mismatch and StorageFailed.

    A remote file is fetched once, to scratch, so that the bytes read are the bytes that were compared.
    """
    with ExitStack() as held:
        file = held.enter_context(open_artifact(stored.key))
        if not storage().here:
            copy = held.enter_context(scratch(".fetched"))
            with _as_export_error():
                shutil.copyfileobj(file, copy, BLOCK)
            file = copy
        with _as_export_error():
            found = digest(file)
        if found != (stored.size, stored.sha256):
            raise Mismatch
        file.seek(0)
        yield file


@contextmanager
def _as_export_error() -> Iterator[None]:
    """Raise the errors of a storage inside the block as ExportError."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise from_exception(error, StorageFailed) from error


def link(key: str, filename: str, content_type: str) -> str | None:
    """Return a URL where a browser may fetch this file for a short time; None if the site has to serve it."""
    with _as_export_error():
        return storage().link(key, filename, content_type, export_settings().link_seconds)


def delete(keys: Iterable[str]) -> None:
    """Remove stored files. If one cannot be removed, log it and leave it to the purge of orphans."""
    files = storage()
    for key in filter(None, keys):
        try:
            files.delete(key)
        except OSError as error:
            logger.warning("The file %s was not removed (%s); the next purge tries again.", key, error)


def clear(folder: str, keep: Collection[str]) -> None:
    """Remove all files of a folder except these keys. If it cannot be listed, leave it to the purge of orphans."""
    try:
        found = [key for key, _ in stored_keys(folder)]
    except OSError as error:
        logger.warning("The folder %s was not cleared (%s); the next purge tries again.", folder, error)
        return
    delete(key for key in found if key not in keep)


def stored_keys(folder: str = "") -> Iterator[tuple[str, datetime]]:
    """Yield every key in the storage, or in one folder of it, with the time of its last change (aware)."""
    return storage().listing(folder)


def drop_unfinished(before: datetime) -> int:
    """Abort unfinished uploads that began before that moment. Return their number.

    Errors are only logged: no row refers to these uploads, so they must not fail the purge.
    """
    try:
        return storage().drop_unfinished(before)
    except OSError as error:
        logger.warning("Unfinished uploads could not be removed: %s", error)
        return 0


class _Movable(File):  # type: ignore[type-arg]  # not subscriptable
    """A scratch file that a local store moves, and that a remote store uploads straight from disk."""

    def temporary_file_path(self) -> str:
        return str(self.name)
