"""Artifacts in a folder. A file is brought beside its place, synced, and moved there in one step; the folder is synced.

Django's own storage copies to the final name when scratch is on another disk, so that a full disk leaves half a file
there, and syncs nothing: after a power cut a row could point to a file that is empty.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from django.core.files import File
from django.core.files.storage import FileSystemStorage

from exports.storage.base import Store

INCOMING = ".incoming-"
"""How the name of a file begins that is not in its place yet; the purge removes what a killed worker left."""

TRIES = 3


class ArtifactFolder(Store, FileSystemStorage):
    """Files for their owner's eyes only. A folder goes with the last file in it."""

    def _save(self, name: str, content: File[bytes]) -> str:
        target = Path(self.path(name))
        placed = incoming = target.with_name(INCOMING + os.urandom(8).hex())
        try:
            self._bring(content, incoming)
            placed = incoming.replace(target)
            sync(target.parent)
        except BaseException:
            with suppress(OSError):
                placed.unlink(missing_ok=True)
            raise
        return name

    def _bring(self, content: File[bytes], incoming: Path) -> None:
        for left in reversed(range(TRIES)):
            self._make(incoming.parent)
            try:
                return self._move_or_copy(content, incoming)
            except FileNotFoundError:  # the folder was empty just now, and somebody's deletion took it away
                if not left:
                    raise
        return None

    def _make(self, folder: Path) -> None:
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
            raise OSError(errno.ENOTDIR, "The folder of all files is not there", self.location) from None

    def delete(self, name: str) -> None:
        super().delete(name)
        folder = Path(self.path(name)).parent
        if folder != Path(self.location):
            with suppress(OSError):  # others are still in it
                folder.rmdir()


def _moved(source: str, incoming: Path) -> bool:
    """Did the file move? It cannot from one disk to another."""
    try:
        Path(source).rename(incoming)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def sync_file(file: IO[bytes]) -> None:
    """What was written is on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """The names in this folder are on the disk when this returns, where its file system can say so."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
