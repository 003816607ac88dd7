"""Downloads: checked at each request, and recorded as finished when the whole file was sent.

A local file is streamed in blocks. A file in a bucket is downloaded by the browser through a link that is signed after
all checks, valid for a minute, and not stored. The result of such a download is unknown, so it is recorded as finished
when the link is issued.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator
from typing import BinaryIO

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy as _

from durable.clock import Now
from exports.datasets import datasets
from exports.datasets.access import may_have
from exports.errors import DatasetFailed, ExportError, NoPermission, StorageFailed, errors_as
from exports.formats import content_type_of
from exports.models import Download, Export, Volume
from exports.states import State
from exports.storage import artifacts

logger = logging.getLogger(__name__)
BLOCK = 256 * 1024


class Gone(ExportError):
    """The file was deleted because it expired."""

    code = "expired"
    default = _("This file has expired and was deleted. You can export it again with the same choices.")


class FileMissing(Gone):
    """The export is READY, but its file is missing or damaged."""

    code = "file_missing"
    default = _("The file of this export was lost because of an error on our side. Please export it again.")


class Unreachable(ExportError):
    """The storage is unavailable, so the state of the file is unknown."""

    code = "unreachable"
    retry_after = 60
    default = _("The file is unavailable right now. It is not lost: please try again in a few minutes.")


class NotReady(ExportError):
    """The export has no file yet, or has failed or was cancelled."""

    code = "not_ready"
    default = _("This export has no file to download. See its page for its state.")


def download(export: Export, user: AbstractBaseUser, number: int = 1, *, body: bool = True) -> HttpResponseBase:
    """Return a response with file `number` of the export, or a redirect to it; only its headers if `body` is false.

    Raises Gone, NotReady, NoPermission and Unreachable, and Http404 if there is no file of that number.
    """
    check(export, user)
    found = _found(export, number)
    file = _open(found)
    if not body:
        file.close()
        return _described(HttpResponse(), found)
    record = Download(export=export, user_id=user.pk, volume=number)
    if url := _link(found):
        file.close()
        record.finished_at = Now()
        record.save()
        return HttpResponseRedirect(url, headers={"Cache-Control": "private, no-store"})
    record.save()
    return _described(StreamingHttpResponse(Transfer(found, file, record)), found)


def inspect(export: Export) -> str:
    """Return what is wrong with the stored files of a ready export, or "" if they are as recorded."""
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
    """Check that `user` may download the files. Raises Gone, NotReady, NoPermission or DatasetFailed."""
    if export.state == State.EXPIRED:
        raise Gone
    if export.state != State.READY:
        raise NotReady
    if not Export.objects.downloadable().filter(pk=export.pk).exists():  # by the database's clock
        raise Gone
    if not all(key in datasets for key in export.datasets):
        raise NoPermission(_("This data is no longer offered, so its files cannot be downloaded any more."))
    with errors_as(DatasetFailed):
        permitted = may_have(user, export)
    if not permitted:
        raise NoPermission(_("You no longer have access to this data, so you cannot download its files any more."))


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
    """Iterator over the blocks of a file. Raises FileMissing instead of sending the last block of a damaged file.

    The record is finished when the server requests another block after the last: then all blocks were handed over.
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
            logger.error("%s: its file is damaged; the download was aborted.", self._found)
            raise FileMissing
        if held:
            yield held
        Download.objects.filter(pk=self._record.pk).update(finished_at=Now())

    def close(self) -> None:
        """Close the file. Django calls this at the end of the response, even if the client disconnected."""
        self._file.close()
