"""The manifest: a bundle's contents in JSON, for programs. docs/decisions/0011 describes its versioned schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from durable import __version__
from exports.conf import export_settings
from exports.datasets import Column, ColumnType, Dataset, Nested, datasets
from exports.datasets.files import Upload
from exports.datasets.tables import NestedTable
from exports.formats import Share, content_type_of
from exports.formats.base import Text
from exports.formats.context import chosen_columns, folders, folders_of
from exports.formats.labels import chosen_params, owner_label
from exports.formats.zip.uploads import media_type
from exports.models import Export

FORMAT, VERSION = "carryall-bundle", 1


@dataclass(frozen=True)
class Listing:
    """A file in a bundle. `format` is empty for a side file and for an upload, which have no rows of their own."""

    content: int
    path: str
    format: str
    rows: int | None
    pages: int | None
    size: int
    sha256: str
    volume: int
    share: Share | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    """The result of `Format.about`."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """The result of `Format.table`."""
    upload: Upload | None = None


@dataclass(frozen=True)
class Missing:
    """An upload that could not be read, and why."""

    dataset: str
    upload: Upload
    reason: str


@dataclass(frozen=True)
class Bound:
    """A volume. Size and checksum are None for the volume that holds this manifest, which cannot contain its own."""

    number: int
    name: str
    size: int | None = None
    sha256: str | None = None
    oversize: bool = False


@dataclass(frozen=True)
class Bundle:
    """The facts about a bundle that its manifest and pages show."""

    export: Export
    created: datetime
    files: Sequence[Listing]
    volumes: Sequence[Bound]
    limit: int | None
    missing: Sequence[Missing] = ()

    @cached_property
    def places(self) -> Mapping[str, str]:
        """The folder of each table."""
        return folders_of(self.export)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """A name for each table, which no other table of the bundle has."""
        return folders(self.export.tables)

    @cached_property
    def _files(self) -> Mapping[str, list[Listing]]:
        contents, found = self.export.contents, defaultdict[str, list[Listing]](list)
        for file in self.files:
            found[contents[file.content].dataset].append(file)
        return found

    def of(self, dataset: str) -> list[Listing]:
        return self._files.get(dataset, [])

    def missing_of(self, dataset: str) -> list[Missing]:
        return [each for each in self.missing if each.dataset == dataset]

    def rows(self, dataset: str) -> int:
        """Return the number of rows of the dataset. Every format has all rows, so only the first one counts."""
        files = self.of(dataset)
        first = files[0].content if files else None
        return sum(file.rows or 0 for file in files if file.content == first)

    def columns(self, dataset: str) -> list[Column]:
        """Return the columns of the dataset in any of its files."""
        contents = (content for content in self.export.contents if content.dataset == dataset)
        names = dict.fromkeys(name for content in contents for name in content.fields)
        return chosen_columns(self.export, dataset, list(names))


DECLARED: Mapping[str, Text] = {
    "purpose": _("What it is used for"),
    "retention": _("How long it is kept"),
    "recipients": _("Who receives it"),
    "source_of_data": _("Where it comes from"),
}
"""What a dataset may declare about its data: the attribute, and its heading."""


def declared(key: str) -> dict[str, str]:
    """Return what the dataset declares about its data, by attribute. What it does not declare is left out."""
    texts = {name: str(getattr(datasets.get(key), name)) for name in DECLARED}
    return {name: text for name, text in texts.items() if text}


def manifest(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest as JSON data, in reading order. Moments are ISO 8601 in UTC, sizes are in bytes."""
    export, controller = bundle.export, str(export_settings().controller)
    return {
        "format": FORMAT,
        "version": VERSION,
        "software": {"name": "Carryall", "version": __version__},
        "export": str(export.uuid),
        "owner": owner_label(export),
        **({"controller": controller} if controller else {}),
        "requested_at": moment(export.requested_at),
        "created_at": moment(bundle.created),
        "period": {
            "choice": export.period_choice,
            "start": moment(export.period_start),
            "end": moment(export.period_end),
            "time_zone": export.time_zone,
            "label": export.period_label,
        },
        "language": get_language(),
        "options": export.options,
        "volume_limit": bundle.limit,
        "volumes": [
            {"number": each.number, "name": each.name, "size": each.size, "sha256": each.sha256}
            | ({"note": "Larger than the limit because it holds a part that cannot be split."} if each.oversize else {})
            for each in bundle.volumes
        ],
        "datasets": list(_datasets(bundle)),
    }


def _datasets(bundle: Bundle) -> Iterable[dict[str, Any]]:
    for key, place in bundle.places.items():
        dataset, missing = datasets.get(key), bundle.missing_of(key)
        yield {
            "key": key,
            **_nested_in(bundle, dataset),
            "label": str(dataset.label),
            "description": str(dataset.description),
            **declared(key),
            "folder": place,
            "params": [param._asdict() for param in chosen_params(bundle.export, key)],
            "rows": bundle.rows(key),
            "columns": [_column(column) for column in bundle.columns(key)],
            "files": [_file(file) for file in bundle.of(key)],
            **({"missing": [_missing(each) for each in missing]} if missing else {}),
        }


def _nested_in(bundle: Bundle, table: Dataset) -> dict[str, Any]:
    """Return of which dataset a nested table is a part, and the two columns that join them; nothing for a dataset."""
    if not isinstance(table, NestedTable):
        return {}
    own, theirs = table.keys(bundle.columns(table.key), bundle.columns(table.home))
    return {"nested_in": {"dataset": table.home, "key": own, "key_there": theirs}}


def _column(column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": column.name, "label": str(column.label), "type": column.type.value}
    if isinstance(column, Nested):
        facts["columns"] = [_column(each) for each in column.inner]
    if column.type is ColumnType.MONEY:
        fixed = isinstance(column.currency, str)
        facts |= {"currency": column.currency} if fixed else {"currency_column": column.slots[1].name}
    if column.type is ColumnType.CHOICE:
        facts["choices"] = [{"value": value, "label": label} for value, label in column.words.items()]
    return facts


def _missing(each: Missing) -> dict[str, Any]:
    return {"path": each.upload.path, **_origin(each.upload), "missing": each.reason}


def _origin(upload: Upload) -> dict[str, str]:
    return {"field": upload.files.field, "label": upload.label, "row": upload.row}


def _file(file: Listing) -> dict[str, Any]:
    own: dict[str, Any] = {"beside": True}
    if file.upload:
        own = {"upload": _origin(file.upload), "content_type": media_type_of(file)}
    if file.format:
        own = {
            "format": file.format,
            "content_type": media_type_of(file),
            "rows": file.rows,
            "pages": file.pages,
        }
    if share := file.share:
        first = {"first_row": share.before + 1} if file.rows else {}
        own["part"] = {"number": share.number, "of": share.count, **first, "rows_of_all": share.rows}
    return {"path": file.path, **own, **file.about, "size": file.size, "sha256": file.sha256, "volume": file.volume}


def media_type_of(file: Listing) -> str:
    """Return the media type of a file of the bundle."""
    return media_type(file.path) if file.upload else content_type_of(file.path)


def moment(value: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if value else None
