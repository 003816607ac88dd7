"""Artifacts in a bucket of S3, or of a server with the same protocol, through django-storages.

Objects are private: they have no ACL, which is a bucket's own default and all that a bucket with ACLs disabled accepts.
An upload appears complete or not at all. docs/decisions/0013 gives the reasons for the choices made here.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.core.files import File
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

from exports.storage.base import Store
from exports.storage.bucket_errors import as_oserror
from exports.storage.bucket_file import Streamed

MIB = 1 << 20
PIECE = 16 * MIB
"""Larger files are uploaded in pieces of this size, straight from scratch and not through memory."""
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 10, 3
"""A request to a store that does not answer fails after some 40 s. Another thread renews the lease meanwhile."""


class ArtifactBucket(Store, S3Storage):  # type: ignore[misc]  # it has no types
    """`public` is the URL at which browsers reach the bucket, if it differs from ours (`endpoint`).

    `options` are other options of django-storages: `access_key`, `secret_key`, `session_profile`, `verify`, ...
    """

    here = False

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "",
        endpoint: str | None = None,
        public: str | None = None,
        region: str | None = None,
        addressing: str | None = None,
        **options: Any,
    ) -> None:
        self.public = public or endpoint
        self._pid = 0
        super().__init__(
            bucket_name=bucket,
            location=prefix.strip("/"),
            endpoint_url=endpoint,
            region_name=region,
            file_overwrite=False,
            client_config=_config(addressing or ("path" if endpoint else "auto")),
            transfer_config=TransferConfig(multipart_threshold=PIECE, multipart_chunksize=PIECE, max_concurrency=4),
            **options,
        )

    # -- django-storages -----------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Any:
        """One for all threads of this process: threads may share a client, but processes must not share a socket."""
        if self._pid != os.getpid():
            self._pid, self._connections = os.getpid(), SimpleNamespace()
        return super().connection

    @property
    def place(self) -> str:
        folder = f"the folder {self.location} of " if self.location else ""
        return f"{folder}the bucket {self.bucket_name}"

    @property
    def client(self) -> Any:
        return self.connection.meta.client

    def key_of(self, name: str) -> str:
        """Return the object's key in the bucket."""
        return str(self._normalize_name(name))

    def _save(self, name: str, content: File[bytes]) -> str:
        where = {"Bucket": self.bucket_name, "Key": self.key_of(name)}
        kind = {"ContentType": self.default_content_type}
        with as_oserror():
            if hasattr(content, "temporary_file_path"):
                path = content.temporary_file_path()
                self.client.upload_file(path, **where, ExtraArgs=kind, Config=self.transfer_config)
            else:
                self.client.put_object(**where, **kind, Body=content.read())
        return name

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        if mode != "rb":
            raise ValueError("An artifact is saved whole and cannot be opened for writing.")
        try:
            file = Streamed(self.client, self.bucket_name, self.key_of(name))
        except FileNotFoundError:
            self._find_bucket()
            raise
        return File(io.BufferedReader(file, MIB), name)

    def _find_bucket(self) -> None:
        """Raise OSError unless the bucket exists: without it every object is missing, but none is lost."""
        try:
            with as_oserror():
                self.client.head_bucket(Bucket=self.bucket_name)
        except FileNotFoundError as error:
            raise OSError(errno.EIO, f"The bucket {self.bucket_name} does not exist") from error

    def exists(self, name: str) -> bool:
        with as_oserror():
            return bool(super().exists(name))

    def delete(self, name: str) -> None:
        with as_oserror():
            self.client.delete_object(Bucket=self.bucket_name, Key=self.key_of(name))

    # -- Store ---------------------------------------------------------------------------------------------------------

    def listing(self, folder: str = "") -> Iterator[tuple[str, datetime]]:
        """Yield the keys page by page, a thousand keys per request."""
        root = f"{self.location}/" if self.location else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket_name, Prefix=root + (f"{folder}/" if folder else "")
        )
        with as_oserror():
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"].removeprefix(root), found["LastModified"]

    def link(self, key: str, filename: str, content_type: str, seconds: int) -> str | None:
        answer = {
            "ResponseContentDisposition": content_disposition_header(True, filename) or "attachment",
            "ResponseContentType": content_type,
            "ResponseCacheControl": "private, no-store",
        }
        where = {"Bucket": self.bucket_name, "Key": self.key_of(key)}
        with as_oserror():
            return str(self._signer.generate_presigned_url("get_object", Params=where | answer, ExpiresIn=seconds))

    @cached_property
    def _signer(self) -> Any:
        """The client that signs links with our own key. It sends no requests."""
        if self.public == self.endpoint_url:
            return self.client
        session = self._create_session()
        return session.client("s3", region_name=self.region_name, endpoint_url=self.public, config=self.client_config)

    def is_public(self, key: str) -> bool:
        client = self.unsigned_connection.meta.client
        try:
            with as_oserror():
                client.head_object(Bucket=self.bucket_name, Key=self.key_of(key))
        except OSError:
            return False
        return True

    def drop_unfinished(self, before: datetime) -> int:
        """Abort unfinished uploads of killed workers, which no listing shows but which are billed."""
        count = 0
        with as_oserror():
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket_name, Prefix=f"{self.location}/" if self.location else ""
            )
            for upload in (each for page in pages for each in page.get("Uploads", ())):
                if upload["Initiated"] < before:
                    where = {"Bucket": self.bucket_name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                    self.client.abort_multipart_upload(**where)
                    count += 1
        return count


def _config(addressing: str) -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        signature_version="s3v4",
        s3={"addressing_style": addressing},
        # Files are read back and compared anyway, and not every server supports the checksums of newer clients.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
