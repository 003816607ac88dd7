"""The download: checked at the moment it is asked for, and counted only when all of it went out.

A file on this machine is streamed in blocks. One in a bucket is fetched from there by the browser itself, with a link
that is signed after all the checks, good for a minute, and kept nowhere. Nobody tells us how that ends, so such a
download counts as whole when its link was given out.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator
from typing import BinaryIO

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models.functions import Now
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy as _

from exports.datasets import datasets
from exports.errors import DatasetFailed, ExportError, NoPermission, StorageFailed, blaming
from exports.formats import content_type_of
from exports.models import Download, Export, Volume
from exports.states import State
from exports.storage import artifacts

logger = logging.getLogger(__name__)
BLOCK = 256 * 1024


class Gone(ExportError):
    """There was a file, and there is none any more."""

    code = "expired"
    default = _("This file has expired and was deleted. You can make a new one with the same choices.")


class FileMissing(Gone):
    """The row says READY, the storage has no such file."""

    code = "file_missing"
    default = _("The file of this export is no longer there, which is our fault. Please make a new one.")


class Unreachable(ExportError):
    """The storage does not answer, or not with this file; that says nothing about the file."""

    code = "unreachable"
    retry_after = 60
    default = _("The file cannot be fetched just now. It is not lost: please try again in a few minutes.")


class NotReady(ExportError):
    """There is no file yet, or there never will be one."""

    code = "not_ready"
    default = _("This export has no file to download. Its page says where it is.")


def download(export: Export, user: AbstractBaseUser, number: int = 1, *, body: bool = True) -> HttpResponseBase:
    """Answer with the export's file of that number, or with a way to it; with its headers alone unless `body`.

    Raises Gone, NotReady, NoPermission and Unreachable; Http404 when there are not so many files.
    """
    check(export, user)
    found = _found(export, number)
    file = _open(found)
    if not body:
        file.close()
        return _described(HttpResponse(), found)
    record = Download(export=export, user_id=user.pk, volume=number)
    if there := _link(found):
        file.close()
        record.finished_at = Now()
        record.save()
        return HttpResponseRedirect(there, headers={"Cache-Control": "private, no-store"})
    record.save()
    return _described(StreamingHttpResponse(Transfer(found, file, record)), found)


def inspect(export: Export) -> str:
    """What is wrong with the stored files of a ready export, in a sentence; empty when they are as recorded."""
    for found in export.files:
        try:
            _open(found).close()
        except ExportError as error:
            return f"{found.filename}: {error.message}"
    return ""


def _found(export: Export, number: int) -> Export | Volume:
    if number == 1:
        return export
    try:
        return export.volumes.get(index=number)
    except Volume.DoesNotExist:
        raise Http404 from None


def check(export: Export, user: AbstractBaseUser) -> None:
    """Raise unless `user`, whose export it is, may have its files now. DatasetFailed: our code could not say."""
    if export.state == State.EXPIRED:
        raise Gone
    if export.state != State.READY:
        raise NotReady
    if not Export.objects.downloadable().filter(pk=export.pk).exists():  # by the database's clock
        raise Gone
    if not all(key in datasets for key in export.datasets):
        raise NoPermission(_("This kind of data is no longer offered, so its files are closed too."))
    with blaming(DatasetFailed):
        permitted = all(datasets.get(key).permitted(user) for key in export.datasets)
    if not permitted:
        raise NoPermission(_("You no longer have access to this data, so its files are closed to you too."))


def _open(found: Export | Volume) -> BinaryIO:
    try:
        file = artifacts.open_artifact(found.artifact)
        size = file.seek(0, 2)
    except (StorageFailed, OSError) as error:
        if not artifacts.is_lost(error):
            raise Unreachable from error
        logger.error("%s: its file %s is not in the storage: %s", found, found.artifact, error.__cause__)
        raise FileMissing from error
    if size != found.size:
        file.close()
        logger.error("%s: its file has %d bytes, not %s.", found, size, found.size)
        raise FileMissing
    file.seek(0)
    return file


def _link(found: Export | Volume) -> str | None:
    try:
        return artifacts.link(found.artifact, found.filename, content_type_of(found.filename))
    except StorageFailed as error:
        raise Unreachable from error


def _described(response: HttpResponseBase, found: Export | Volume) -> HttpResponseBase:
    digest = base64.b64encode(bytes.fromhex(found.sha256)).decode()
    response["Content-Type"] = content_type_of(found.filename)
    response["Content-Length"] = str(found.size)
    response["Content-Disposition"] = content_disposition_header(True, found.filename) or "attachment"
    response["ETag"] = f'"{found.sha256}"'
    response["Repr-Digest"] = f"sha-256=:{digest}:"
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    response["Accept-Ranges"] = "none"
    return response


class Transfer:
    """The file's blocks. The last one is held back until the checksum is right, so a damaged file never arrives whole.

    The record is finished only when the server has asked for more than there is: all of it was handed over.
    """

    def __init__(self, found: Export | Volume, file: BinaryIO, record: Download) -> None:
        self._found, self._file, self._record = found, file, record

    def __iter__(self) -> Iterator[bytes]:
        sha256, held = hashlib.sha256(), b""
        with self._file as file:
            while block := file.read(BLOCK):
                sha256.update(block)
                if held:
                    yield held
                held = block
        if sha256.hexdigest() != self._found.sha256:
            logger.error("%s: its file is damaged; its download was broken off.", self._found)
            raise FileMissing
        if held:
            yield held
        Download.objects.filter(pk=self._record.pk).update(finished_at=Now())

    def close(self) -> None:
        """Called by Django when the answer ends, also by a browser that hung up."""
        self._file.close()
