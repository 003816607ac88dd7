"""A file object that streams an object of a bucket."""

from __future__ import annotations

import errno
import io
from typing import Any

from exports.storage.bucket_errors import as_oserror

TRIES = 3


class Streamed(io.RawIOBase):
    """A seekable, read-only file. After a broken connection it reconnects at the same offset, up to TRIES per read.

    Holds one read in memory. Raises OSError, also if the object has changed since it was opened.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        super().__init__()
        self._client, self._where = client, {"Bucket": bucket, "Key": key}
        with as_oserror():
            head = client.head_object(**self._where)
        self._size, self._etag = int(head["ContentLength"]), head["ETag"]
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at != self._at:
            self._close_body()
            self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, wanted: int) -> bytes:
        for left in reversed(range(TRIES)):
            try:
                with as_oserror():
                    self._body = self._body or self._get()
                    if data := bytes(self._body.read(wanted)):
                        return data
                raise OSError(errno.EIO, "The object ended early")
            except OSError as error:
                self._close_body()
                if not left or isinstance(error, FileNotFoundError):
                    raise
        raise AssertionError("unreachable")

    def _get(self) -> Any:
        rest = {"Range": f"bytes={self._at}-", "IfMatch": self._etag}
        return self._client.get_object(**self._where, **rest)["Body"]

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._close_body()
        super().close()
