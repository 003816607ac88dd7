"""A dataset with columns of any type, and helpers that export it and read its files with third-party libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from operator import attrgetter
from typing import Any, ClassVar
from zipfile import ZipFile

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet

from durable.clock import as_stored
from exports.datasets import Column, ColumnType, Dataset
from exports.formats import Format, formats, writers
from exports.models import Export
from exports.states import State
from tests.support.exports import PLACED, content_of, registered, run
from tests.support.tables import READERS, Table
from tests.work.models import Specimen

FIELDS = {
    "name": ColumnType.TEXT,
    "text": ColumnType.TEXT,
    "whole": ColumnType.INTEGER,
    "number": ColumnType.DECIMAL,
    "truth": ColumnType.BOOLEAN,
    "day": ColumnType.DATE,
    "moment": ColumnType.DATETIME,
}
STORED = tuple(Column(name, name, kind) for name, kind in FIELDS.items())
"""Columns read from the database."""
COMPUTED = tuple(Column(name, name, kind, function=attrgetter(name)) for name, kind in FIELDS.items())
"""The same columns, computed in Python."""


class Specimens(Dataset):
    """All specimens, for any user."""

    key = "specimens"
    label = "Specimens"
    date_field = "made_at"
    columns: ClassVar[Sequence[Column]] = STORED

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Specimen]:
        return Specimen.objects.all()


def home_of(user: AbstractBaseUser) -> str:
    """Return a user's time zone, for the setting USER_TIME_ZONE."""
    return "Europe/Berlin"


def collect(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Create specimens with these names and values."""
    placed = as_stored(PLACED)
    Specimen.objects.bulk_create(Specimen(name=name, made_at=placed, **values) for name, values in rows.items())


def exported(owner: AbstractBaseUser, key: str, columns: Sequence[Column] = STORED, **more: Any) -> Export:
    """Export the specimens in a format, or in all formats for a bundle. `more` are attributes of the dataset."""
    inside = [] if isinstance(formats.get(key), Format) else [kind.key for kind in writers()]
    with registered(type("Specimens", (Specimens,), {"columns": columns, **more})):
        return run(owner, key, dataset="specimens", inside=inside)


def files_of(export: Export) -> dict[str, bytes]:
    """Return the exported files by name: a single file, or those in the archive."""
    assert export.state == State.READY, export.error_message
    content = content_of(export)
    if not export.filename.endswith(".zip"):
        return {export.filename: content}
    with ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def tables(export: Export) -> dict[str, Table]:
    """Return the rows of each file that holds rows, except PDF."""
    files = {name: data for name, data in files_of(export).items() if name not in DESCRIPTIONS}
    found = {name: (name.rpartition(".")[2], data) for name, data in files.items()}
    return {name: READERS[kind](data) for name, (kind, data) in found.items() if kind in READERS}


DESCRIPTIONS = {"manifest.json", "datapackage.json"}
"""Files of a bundle that describe its data."""
