"""Render contexts of an export's files, and the names of its files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.text import slugify

from exports.datasets import Column, Dataset, KeyRange, datasets
from exports.datasets.files import with_paths
from exports.datasets.rules import key_value
from exports.formats import RenderContext
from exports.formats.labels import filter_words, owner_label
from exports.models import Export, Part

LONGEST_NAME = 80
"""Maximum length of a dataset's key in a file name."""
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Names that Windows reserves for devices."""


def context_of(export: Export, number: int, **more: Any) -> RenderContext:
    """Return the render context of the export's file with this number; `more` adds or overrides fields."""
    content = export.contents[number]
    dataset = datasets.get(content.dataset)
    known: dict[str, Any] = {
        "title": str(dataset.label),
        "owner": owner_label(export),
        "period": export.period_label,
        "filters": filter_words(export, content.dataset),
        "columns": columns_of(export, number),
        "zone": export.zone,
        "requested_at": export.requested_at,
        "name": stem(export, _file_name(export, dataset)),
        "options": export.options,
        "layout": export.layout[number] if export.layout else {},
    }
    return RenderContext(**known | more)


def columns_of(export: Export, number: int) -> list[Column]:
    """Return the columns of the export's file with this number. In a bundle, they name uploads by their path in it."""
    content = export.contents[number]
    return chosen_columns(export, content.dataset, content.fields)


def chosen_columns(export: Export, table: str, names: Sequence[str]) -> list[Column]:
    """Return the columns of `names` of one of the export's tables, as `columns_of` does for a file."""
    dataset = datasets.get(table)
    columns = dataset.choose(names)
    if not (export.inside and dataset.files):
        return columns
    return with_paths(columns, dataset.files, folders(export.datasets)[dataset.key])


def entries_at(export: Export) -> datetime:
    """Return the timestamp of the entries in the export's archives: when it was requested, in the owner's zone."""
    requested: datetime = export.requested_at
    return requested.astimezone(export.zone)


def keys_of(part: Part, dataset: Dataset) -> KeyRange | None:
    """Return the part's range of keys, or None for a part without rows, and for one of rows that are not cut."""
    if not part.rows:  # not `part.first_key`: where keys are text, "" is a valid key
        return None
    model = dataset.model_of(part.export.data_owner)
    return KeyRange(key_value(model, part.first_key), key_value(model, part.last_key), part.rows)


def stem(export: Export, what: str) -> str:
    """Return a file name without its extension, safe for any browser and file system: `what` and the export's days."""
    period = export.period
    last = period.last_day or export.requested_at.astimezone(export.zone).date()
    days = f"{period.first_day}-to-{last}" if period.first_day else f"to-{last}"
    return f"{what}-{days}"


def slug(dataset: str) -> str:
    """Return a dataset's key as an ASCII slug, for the name of a folder and the beginning of a file name."""
    name = slugify(dataset.replace(".", "-"))[:LONGEST_NAME] or "export"
    return f"{name}-data" if name in DEVICES else name


def folders_of(export: Export) -> dict[str, str]:
    """Return the folder of each table in a bundle. Nested tables are in the folder of their dataset."""
    found = folders(export.datasets)
    return {key: found[datasets.get(key).home] for key in export.tables}


def _file_name(export: Export, dataset: Dataset) -> str:
    """Return the beginning of the names of a table's files, which no other table in the folder has."""
    if dataset.home == dataset.key:
        return slug(dataset.key)
    family = [key for key in export.tables if datasets.get(key).home == dataset.home]
    return folders(family)[dataset.key]


def folders(keys: list[str]) -> dict[str, str]:
    """Return a unique folder name for each dataset key."""
    return dict(zip(keys, unique(map(slug, keys)), strict=True))


def unique(names: Iterable[str], between: str = "-") -> list[str]:
    """Return the names, with `between` and a number after those that occurred before."""
    found: dict[str, None] = {}
    for name in names:
        other, count = name, 1
        while other in found:
            count += 1
            other = f"{name}{between}{count}"
        found[other] = None
    return list(found)
