"""Stores that fail as they are told: by a JSON file that every process reads, so that whole sites can be disturbed.

FAULTY_STORAGE names the file; while it is not there nothing fails. Its keys, with the `times` that they happen over all
processes (always, when absent) and a regular expression that the file's key must match (`only`):

    full          saving raises ENOSPC              fail_after    saving breaks off after so many bytes, and leaves them
    lost          saving works, and raises          lie           saving works, and a byte less is stored
    slow          saving takes so many seconds      read, delete  raise EIO
    scratch_full  no scratch file can be made
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.files import File

from exports.storage import artifacts
from exports.storage.base import Store
from exports.storage.bucket import ArtifactBucket
from exports.storage.folder import ArtifactFolder
from tests.support.storage_faults import counter


def faulty(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of STORAGES whose store fails when told to."""
    return entry | {"BACKEND": f"{__name__}.Faulty{entry['BACKEND'].rpartition('.Artifact')[2]}"}


def armed(kind: str, key: str = "") -> Any:
    """The fault's value, when it is to happen now; it is counted then."""
    file = Path(os.environ["FAULTY_STORAGE"])
    try:
        fault = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    if not fault.get(kind) or not re.search(fault.get("only", ""), key):
        return None
    with counter(file).open("ab") as count:
        fcntl.flock(count, fcntl.LOCK_EX)
        if os.fstat(count.fileno()).st_size >= fault.get("times", 1_000_000):
            return None
        count.write(b"!")
    return fault[kind]


def install(patch: Callable[..., None] = setattr) -> None:
    """Let the scratch folder fail too."""
    make = artifacts.scratch_dir

    def scratch_dir() -> Path:
        if armed("scratch_full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return make()

    patch(artifacts, "scratch_dir", scratch_dir)


class Faulty(Store):
    """Before a store: raises what a store may raise, and leaves what it may leave."""

    def _save(self, name: str, content: File[bytes]) -> str:
        if seconds := armed("slow", name):
            time.sleep(seconds)
        if armed("full", name):
            raise OSError(errno.ENOSPC, "No space left on device")
        if size := armed("fail_after", name):
            self.leave(name, content.read(size))
            raise OSError(errno.EIO, "Input/output error")
        saved: str = super()._save(name, content)  # type: ignore[misc]
        if armed("lie", name):
            self.shorten(saved)
        if armed("lost", name):
            raise OSError(errno.EIO, "The answer did not arrive")
        return saved

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        if armed("read", name):
            raise OSError(errno.EIO, "Input/output error")
        opened: File[Any] = super()._open(name, mode)  # type: ignore[misc]
        return opened

    def delete(self, name: str) -> None:
        if armed("delete", name):
            raise OSError(errno.EIO, "Input/output error")
        super().delete(name)

    def leave(self, name: str, data: bytes) -> None:
        """What an upload that was broken off leaves behind."""
        raise NotImplementedError

    def shorten(self, name: str) -> None:
        """Take the stored file's last byte."""
        raise NotImplementedError


class FaultyFolder(Faulty, ArtifactFolder):
    def leave(self, name: str, data: bytes) -> None:
        path = Path(self.path(name)).with_name(".incoming-of-a-killed-worker")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def shorten(self, name: str) -> None:
        path = Path(self.path(name))
        os.truncate(path, path.stat().st_size - 1)


class FaultyBucket(Faulty, ArtifactBucket):
    def leave(self, name: str, data: bytes) -> None:
        where = {"Bucket": self.bucket_name, "Key": self.key_of(name)}
        upload = self.client.create_multipart_upload(**where)["UploadId"]
        self.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=data)

    def shorten(self, name: str) -> None:
        where = {"Bucket": self.bucket_name, "Key": self.key_of(name)}
        whole = self.client.get_object(**where)["Body"].read()
        self.client.put_object(**where, Body=whole[:-1])
