"""Artifacts in a folder. A file is written next to its target, synced and renamed; then the folder is synced.

Django's own storage copies to the final name if scratch is on another disk, so that a full disk leaves a partial file
there, and does not sync: after a power failure a row could refer to an empty file.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import FileSystemStorage

from exports.storage.base import Store

INCOMING = ".incoming-"
"""Prefix of files that are not in place yet. The purge removes those left by killed workers."""

TRIES = 3
PRIVATE = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}


class ArtifactFolder(Store, FileSystemStorage):
    """Files that only their owner can read. A folder is removed with its last file."""

    def __init__(self, location: str | Path | None = None, **options: Any) -> None:
        """The default modes are not FILE_UPLOAD_PERMISSIONS, which is for files that the web server may read."""
        super().__init__(location, **PRIVATE | options)

    @property
    def place(self) -> str:
        return f"the folder {self.location}"

    def _save(self, name: str, content: File[bytes]) -> str:
        target = Path(self.path(name))
        placed = incoming = target.with_name(INCOMING + os.urandom(8).hex())
        try:
            self._write_incoming(content, incoming)
            placed = incoming.replace(target)
            sync(target.parent)
        except BaseException:
            with suppress(OSError):
                placed.unlink(missing_ok=True)
            raise
        return name

    def _write_incoming(self, content: File[bytes], incoming: Path) -> None:
        for left in reversed(range(TRIES)):
            self._make_folder(incoming.parent)
            try:
                return self._move_or_copy(content, incoming)
            except FileNotFoundError:  # a concurrent deletion removed the empty folder
                if not left:
                    raise
        return None

    def _make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=self.directory_permissions_mode or 0o700, exist_ok=True)
            sync(path.parent)

    def _move_or_copy(self, content: File[bytes], incoming: Path) -> None:
        source = content.temporary_file_path() if hasattr(content, "temporary_file_path") else None
        if source is None or not _moved(source, incoming):
            with incoming.open("xb") as file:
                for chunk in content.chunks():
                    file.write(chunk)
                sync_file(file)
        incoming.chmod(self.file_permissions_mode or 0o600)

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        try:
            return File(Path(self.path(name)).open(mode), name)
        except FileNotFoundError:
            if Path(self.location).is_dir():
                raise
            raise OSError(errno.ENOTDIR, "The storage folder does not exist", self.location) from None

    def delete(self, name: str) -> None:
        super().delete(name)
        folder = Path(self.path(name)).parent
        if folder != Path(self.location):
            with suppress(OSError):  # other files are still in it
                folder.rmdir()


def _moved(source: str, incoming: Path) -> bool:
    """Rename the file. Return False if it is on another disk."""
    try:
        Path(source).rename(incoming)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def sync_file(file: IO[bytes]) -> None:
    """Flush the contents of a file to disk."""
    file.flush()
    os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Flush the entries of a folder to disk, if its file system supports it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
