"""The uploads of a bundle's rows: each is copied to scratch from its own storage, then put into a volume.

The copy tells how large the file really is before it is put anywhere, and a file that cannot be read to its end leaves
nothing in the archive.
"""

from __future__ import annotations

import logging
import mimetypes
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import BinaryIO

from celery.exceptions import SoftTimeLimitExceeded
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from durable.lease import LeaseLost
from exports.datasets import Dataset, datasets
from exports.datasets.files import Upload, rows_with_files, uploads
from exports.errors import DatabaseAway, DatasetFailed, DiskFull, NoMemory, StorageFailed, errors_as, from_exception
from exports.formats import Written
from exports.formats.archive import Zip
from exports.formats.assembly import Assembly
from exports.formats.context import folders, keys_of
from exports.formats.deflate import Deflater, Segment
from exports.formats.zip.entries import ENTRY
from exports.models import Export
from exports.storage.artifacts import BLOCK

logger = logging.getLogger(__name__)

PACKED_TYPES = ("image/", "video/", "audio/", "font/woff")
PACKED_FAMILIES = ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.")
PACKED = {"application/pdf", "application/zip", "application/epub+zip", "application/gzip"}
"""Types of files that are compressed already."""
PLAIN = {"image/svg+xml", "image/bmp", "image/x-ms-bmp", "image/tiff", "audio/x-wav", "image/x-portable-pixmap"}
"""Those of the same families that are not."""
ENCODINGS = {"gzip": "application/gzip"}
GONE: str | Promise = _("It no longer exists where it was stored.")
UNREADABLE: str | Promise = _("It could not be read from where it is stored.")
OWN_FAULTS = (DatabaseAway, DiskFull, NoMemory)
"""Errors of this worker, which another attempt may not have: they are not the file's."""


class Unreadable(Exception):
    """Raised if a file is missing in its storage, or cannot be read. `reason` is for the owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fetched:
    """An upload that was copied to scratch, in the form that it has in the archive: compressed, or as it is."""

    def __init__(self, assembly: Assembly, upload: Upload, file: BinaryIO, segment: Segment | None) -> None:
        self.upload = upload
        self._assembly, self._file, self._segment = assembly, file, segment

    @property
    def room(self) -> int:
        """Maximum size in an archive, in bytes."""
        return self._file.seek(0, os.SEEK_END) + ENTRY + 2 * len(self.upload.path.encode())

    def put(self, archive: Zip, folder: str) -> Written:
        """Add the file as an entry. Its path has its folder already."""
        self._file.seek(0)
        if self._segment is None:
            self._assembly.put(archive, self.upload.path, self._file, stored=True)
        else:
            with archive.entry(self.upload.path) as entry:
                entry.append(self._assembly.watched(self._file), self._segment)
        return Written(0)


def uploads_of(assembly: Assembly, key: str) -> Iterator[Upload]:
    """Yield the uploads of the rows that the bundle has of this dataset, read again from the database."""
    dataset, export = datasets.get(key), assembly.export
    if not dataset.files:
        return
    ranges = [keys_of(part, dataset) for part in assembly.parts(export.first_content(key))]
    with errors_as(DatasetFailed):
        rows = dataset.selected(export.selection)
    yield from uploads(rows, dataset.files, folders(export.datasets)[key], ranges)


def count_uploads(export: Export) -> int:
    """Return about how many uploads the bundle will have."""
    with errors_as(DatasetFailed):
        return sum(_count(datasets.get(key), export) for key in export.datasets)


def _count(dataset: Dataset, export: Export) -> int:
    if not dataset.files:
        return 0
    rows = rows_with_files(dataset.selected(export.selection), dataset.files)
    return rows.order_by().count() * len(dataset.files)


@contextmanager
def fetched(assembly: Assembly, upload: Upload) -> Iterator[Fetched]:
    """Copy an upload to scratch, and remove the copy at the end. Raises Unreadable, and LeaseLost between blocks."""
    path = assembly.folder / "upload"
    with path.open("w+b") as file:
        try:
            yield Fetched(assembly, upload, file, _copy(assembly, upload, file))
        finally:
            path.unlink()


def _copy(assembly: Assembly, upload: Upload, out: BinaryIO) -> Segment | None:
    """Copy the file in its form in the archive. Return its deflate segment, or None if it stays as it is."""
    deflater = Deflater(out.write) if compresses(upload.path) else None
    write = deflater.write if deflater else out.write
    with _reading(assembly, upload):
        source = upload.open()
    with closing(source):
        while block := _read(assembly, upload, source):
            assembly.lease.check()
            write(block)
    return deflater.close() if deflater else None


def _read(assembly: Assembly, upload: Upload, source: BinaryIO) -> bytes:
    with _reading(assembly, upload):
        return source.read(BLOCK)


@contextmanager
def _reading(assembly: Assembly, upload: Upload) -> Iterator[None]:
    """Raise errors of the upload's storage as Unreadable. Any class is possible: the storage is the site's own."""
    try:
        yield
    except (SoftTimeLimitExceeded, LeaseLost):
        raise
    except Exception as error:
        known = from_exception(error, StorageFailed)
        if isinstance(known, OWN_FAULTS):
            raise known from error
        logger.warning("%s: cannot read the file %s of row %s: %r", assembly.export, upload.name, upload.row, error)
        raise Unreadable(str(GONE if isinstance(error, FileNotFoundError) else UNREADABLE)) from error


def compresses(path: str) -> bool:
    """Return whether a file of this name is worth compressing: images, sound, video and archives are not."""
    kind, encoding = mimetypes.guess_type(path)
    packed = (kind or "").startswith((*PACKED_TYPES, *PACKED_FAMILIES)) or kind in PACKED or encoding is not None
    return kind in PLAIN or not packed


def media_type(path: str) -> str:
    """Return the media type for the name of an upload."""
    kind, encoding = mimetypes.guess_type(path)
    return (kind if encoding is None else ENCODINGS.get(encoding)) or "application/octet-stream"
