"""The manifest: a bundle's contents in JSON, for programs. docs/decisions/0011 describes its versioned schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import get_language

from exports import __version__
from exports.datasets import Column, ColumnType, datasets
from exports.formats import Share, content_type_of
from exports.formats.context import folders
from exports.models import Export

FORMAT, VERSION = "carryall-bundle", 1


@dataclass(frozen=True)
class Listing:
    """A file in a bundle. `format` is empty for a side file, which has no rows of its own."""

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

    def of(self, dataset: str) -> list[Listing]:
        contents = self.export.contents
        return [file for file in self.files if contents[file.content].dataset == dataset]

    def rows(self, dataset: str) -> int:
        """Return the number of rows of the dataset. Every format has all rows, so only the first one counts."""
        files = self.of(dataset)
        first = files[0].content if files else None
        return sum(file.rows or 0 for file in files if file.content == first)


def manifest(bundle: Bundle) -> dict[str, Any]:
    """Return the manifest as JSON data, in reading order. Moments are ISO 8601 in UTC, sizes are in bytes."""
    export = bundle.export
    return {
        "format": FORMAT,
        "version": VERSION,
        "software": {"name": "Carryall", "version": __version__},
        "export": str(export.uuid),
        "owner": export.owner.get_full_name() or export.owner.get_username(),
        "requested_at": _moment(export.requested_at),
        "created_at": _moment(bundle.created),
        "period": {
            "choice": export.period_choice,
            "start": _moment(export.period_start),
            "end": _moment(export.period_end),
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
    places = folders(bundle.export.datasets)
    fields = {content.dataset: content.fields for content in bundle.export.contents}
    for key in bundle.export.datasets:
        dataset = datasets.get(key)
        yield {
            "key": key,
            "label": str(dataset.label),
            "description": str(dataset.description),
            "folder": places[key],
            "rows": bundle.rows(key),
            "columns": [_column(column) for column in dataset.choose(fields[key])],
            "files": [_file(file) for file in bundle.of(key)],
        }


def _column(column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": column.name, "label": str(column.label), "type": column.type.value}
    if column.type is ColumnType.MONEY:
        fixed = isinstance(column.currency, str)
        facts |= {"currency": column.currency} if fixed else {"currency_column": column.slots[1].name}
    if column.type is ColumnType.CHOICE:
        facts["choices"] = [{"value": value, "label": label} for value, label in column.words.items()]
    return facts


def _file(file: Listing) -> dict[str, Any]:
    own: dict[str, Any] = {"beside": True}
    if file.format:
        own = {
            "format": file.format,
            "content_type": content_type_of(file.path),
            "rows": file.rows,
            "pages": file.pages,
        }
    if share := file.share:
        first = {"first_row": share.before + 1} if file.rows else {}
        own["part"] = {"number": share.number, "of": share.count, **first, "rows_of_all": share.rows}
    return {"path": file.path, **own, **file.about, "size": file.size, "sha256": file.sha256, "volume": file.volume}


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None
