"""Files: the uploads of a dataset's rows, which a bundle holds beside the data."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, BinaryIO
from uuid import UUID

from django.core.files.storage import Storage
from django.db.models import F, FileField, Q, QuerySet
from django.utils.functional import Promise
from django.utils.text import slugify

from exports.datasets import rules
from exports.datasets.columns import Column, ColumnType
from exports.datasets.grouped import is_grouped
from exports.datasets.key_ranges import KeyRange
from exports.datasets.source import KeyedColumn, Source
from exports.datasets.texts import as_text

FOLDER = "files"
NAME_BYTES = 100
"""Maximum length of a file's own name in the bundle. With the row's key, it stays far below the 255 of file systems."""
EXTENSION_BYTES = 16
KEY_LETTERS = 40
PRINTED = re.compile(r'[<>:"/\\|?*]')
"""Matches characters that Windows does not accept in a name."""


@dataclass(frozen=True)
class Files:
    """The uploads in a FileField or ImageField of the dataset's model, or of a related one, such as "document__file".

    `folder` is the name of their folder in that of the dataset. `label` says what they are, by default the field's
    `verbose_name`.
    """

    field: str
    folder: str | None = None
    label: str | Promise | None = None


@dataclass(frozen=True)
class PathColumn(KeyedColumn):
    """The column of a field with files, with the path in the bundle instead of the name in the storage."""

    folder: str = ""
    prefix: str = ""

    def value_of(self, key: Any, value: Any) -> str | None:
        name = as_text(value) if value else ""
        return f"{self.folder}/{_key_name(key)}-{self.prefix}{safe_name(name)}" if name else None


@dataclass(frozen=True)
class Upload:
    """One file of one row. `path` is its path in the bundle, `name` its name in its storage."""

    files: Files
    label: str
    row: str
    path: str
    name: str
    storage: Storage

    def open(self) -> BinaryIO:
        """Open the file in its storage. Raises any exception that the storage raises."""
        return self.storage.open(self.name, "rb")  # type: ignore[return-value]


def faults(rows: QuerySet[Any], files: Sequence[Files]) -> list[str]:
    """Return one sentence, with a fix, for each of `files` whose field is no file field. Runs no query."""
    if files and is_grouped(rows):
        return ["The rows are groups, which have no files: leave files out."]
    found = rules.faults(rows, [Column(f"files: {each.field}", "", source=each.field) for each in files])
    return found or [
        f"The files {each.field!r} are a {type(field).__name__}: name a FileField, or a path to one."
        for each in files
        if not isinstance(field := _field_of(rows, each), FileField)
    ]


def with_paths(columns: Sequence[Column], files: Sequence[Files], folder: str) -> list[Column]:
    """Return `columns`; those that show the field of one of `files` show its path in the bundle instead.

    `folder` is the dataset's folder in the bundle.
    """
    paths = {each.field: column for each, column in zip(files, _path_columns(files, folder), strict=True)}
    return [_with_path(column, paths) for column in columns]


def _with_path(column: Column, paths: dict[str, PathColumn]) -> Column:
    path = paths.get(str(column.source or column.name))
    if path is None or column.function is not None or column.type not in (ColumnType.TEXT, ColumnType.FILE):
        return column
    return PathColumn(column.name, column.label, column.type, path.source, folder=path.folder, prefix=path.prefix)


def uploads(
    rows: QuerySet[Any], files: Sequence[Files], folder: str, ranges: Sequence[KeyRange | None]
) -> Iterator[Upload]:
    """Yield the files of `rows`, which are ordered by key, as far as they are in one of `ranges`.

    Reads the rows in pages. Errors of the database and of the dataset are raised as ExportError.
    """
    with_files = rows_with_files(rows, files)
    fields = [_field_of(rows, each) for each in files]
    kinds = [(each, str(each.label or field.verbose_name)) for each, field in zip(files, fields, strict=True)]
    columns: list[Column] = [Column("row", "", source="pk")]
    for path in _path_columns(files, folder):
        columns += [path, Column(path.name, "", source=path.source)]
    for keys in ranges:
        for key, *found in Source(with_files, columns, keys):
            for kind, field, path, name in zip(kinds, fields, found[::2], found[1::2], strict=True):
                if name:
                    yield Upload(*kind, key, path, name, field.storage)


def rows_with_files(rows: QuerySet[Any], files: Sequence[Files]) -> QuerySet[Any]:
    """Return those of `rows` that have at least one of `files`."""
    return rows.filter(reduce(or_, (Q(**{f"{each.field}__gt": ""}) for each in files)))


def _field_of(rows: QuerySet[Any], files: Files) -> Any:
    return rows.annotate(_carryall_file=F(files.field)).query.annotations["_carryall_file"].output_field


def _path_columns(files: Sequence[Files], folder: str) -> list[PathColumn]:
    """Return the column of the paths of each of `files`. In a folder of several, names contain the field."""
    inner = [slugify(each.folder or "") or FOLDER for each in files]
    prefixes = [f"{each.field}-" if inner.count(name) > 1 else "" for each, name in zip(files, inner, strict=True)]
    return [
        PathColumn(each.field, "", source=each.field, folder=f"{folder}/{name}", prefix=prefix)
        for each, name, prefix in zip(files, inner, prefixes, strict=True)
    ]


# --- names ----------------------------------------------------------------------------------------------------------


def safe_name(name: str) -> str:
    """Return the last part of an upload's name, safe as the end of a file name on every system.

    Letters of all scripts stay. Control and format characters go, among them those that reverse the direction of text.
    """
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    kept = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")
    clean = " ".join(PRINTED.sub("_", kept).split()).strip(". ")
    stem, dot, extension = clean.rpartition(".")
    if not dot or len(extension.encode()) > EXTENSION_BYTES:
        stem, extension = clean, ""
    ending = f".{extension}" if extension else ""
    return (_shortened(stem, NAME_BYTES - len(ending.encode())) + ending) or "file"


def _shortened(text: str, size: int) -> str:
    """Return the start of `text` that takes at most `size` bytes in UTF-8."""
    return text.encode()[:size].decode(errors="ignore").rstrip(". ")


def _key_name(key: Any) -> str:
    """Return a primary key as the start of a file name, different for each key of a model, ignoring case."""
    text = as_text(key)
    if (isinstance(key, int) and key >= 0) or isinstance(key, UUID):
        return text
    return "-".join(filter(None, [slugify(text)[:KEY_LETTERS], hashlib.sha256(text.encode()).hexdigest()[:16]]))
