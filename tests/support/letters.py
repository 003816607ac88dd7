"""Rows with files: a dataset of letters, whose scans, photos and documents are in a folder of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db.models import QuerySet

from exports.datasets import Column, ColumnType, Dataset, Files
from tests.support.exports import PLACED
from tests.work.models import Document, Letter


class Letters(Dataset):
    """The letters of one owner, with one file each."""

    key, label = "letters", "Letters"
    date_field: ClassVar[str | None] = "sent_at"
    columns: ClassVar[Sequence[Any]] = (
        Column("id", "Number", ColumnType.INTEGER),
        Column("subject", "Subject"),
        Column("scan", "Scan"),
    )
    files: ClassVar[Sequence[Files]] = [Files("scan")]
    purpose, retention = "Writing to you", "10 years (tax)"

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return Letter.objects.filter(owner_id=user.pk)


class Albums(Letters):
    """The same rows with all of their files, in two folders."""

    key, label = "albums", "Albums"
    columns: ClassVar[Sequence[Column]] = (
        Column("photo", "Photo"),
        Column("paper", "Paper", source="document__file"),
    )
    files: ClassVar[Sequence[Files]] = [
        Files("scan"),
        Files("photo", folder="Photos!", label="Portrait"),
        Files("document__file"),
    ]


def letter(
    owner: User, scan: str = "", data: bytes | None = None, sent_at: datetime | None = PLACED, **more: Any
) -> Letter:
    """Create a letter. `scan` is the name that its row has, whatever the storage thinks of it; `data` is stored."""
    if data is not None:
        path = Path(default_storage.path(scan))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Letter.objects.create(owner=owner, subject="Hello", scan=scan, sent_at=sent_at, **more)


def document(name: str, data: bytes) -> Document:
    Path(default_storage.path(name)).write_bytes(data)
    return Document.objects.create(file=name)
