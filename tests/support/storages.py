"""Stores that fail on demand. A JSON file that every process reads sets the faults, so that whole sites can fail.

FAULTY_STORAGE is the path of the file; without the file nothing fails. `times` limits the number of failures over all
processes (default: unlimited). `only` is a regular expression that the stored file's key must match. The faults:

    full          saving raises ENOSPC              fail_after    saving breaks off after N bytes, and leaves them
    lost          saving works, then raises EIO     lie           saving works, but the last byte is missing
    slow          saving takes this many seconds    read, delete  raise EIO
    scratch_full  no scratch file can be created
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
    """Return the entry of STORAGES for the failing variant of a store."""
    return entry | {"BACKEND": f"{__name__}.Faulty{entry['BACKEND'].rpartition('.Artifact')[2]}"}


def armed(kind: str, key: str = "") -> Any:
    """Return the value of a fault that is to happen now, and count it; otherwise None."""
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
    """Make the scratch folder fail as well."""
    make = artifacts.scratch_dir

    def scratch_dir() -> Path:
        if armed("scratch_full"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return make()

    patch(artifacts, "scratch_dir", scratch_dir)


class Faulty(Store):
    """Mixin for a store: raises the errors of a real store, and leaves the same files behind."""

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
        """Leave the remains of an interrupted upload."""
        raise NotImplementedError

    def shorten(self, name: str) -> None:
        """Remove the last byte of the stored file."""
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
