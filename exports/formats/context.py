"""What formats are told of an export's files, and what those are called."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.text import slugify

from exports.datasets import Dataset, KeyRange, datasets
from exports.datasets.rules import key_value
from exports.formats import RenderContext
from exports.models import Export, Part

LONGEST_NAME = 80
"""Letters of a dataset's key that a file's name takes."""
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Names that Windows keeps for its devices."""


def context_of(export: Export, number: int, **more: Any) -> RenderContext:
    """What a format may know of the export's file of that number; `more` are further fields, or other values."""
    content = export.contents[number]
    dataset = datasets.get(content.dataset)
    known: dict[str, Any] = {
        "title": str(dataset.label),
        "owner": export.owner.get_full_name() or export.owner.get_username(),
        "period": export.period_label,
        "columns": dataset.choose(content.fields),
        "zone": export.zone,
        "requested_at": export.requested_at,
        "name": stem(export, slug(content.dataset)),
        "options": export.options,
        "layout": export.layout[number] if export.layout else {},
    }
    return RenderContext(**known | more)


def entries_at(export: Export) -> datetime:
    """The moment that the entries of its archives carry: when it was requested, in the owner's zone."""
    return export.requested_at.astimezone(export.zone)


def keys_of(part: Part, dataset: Dataset) -> KeyRange | None:
    """Return the range of keys that the part is made of, or None for a part without rows."""
    if not part.rows:  # and not an empty first key, which is a key like any other where keys are text
        return None
    model = dataset.model(part.export.owner)
    return KeyRange(key_value(model, part.first_key), key_value(model, part.last_key), part.rows)


def stem(export: Export, what: str) -> str:
    """A file's name without its extension, that any browser and file system takes: ASCII, digits, hyphens."""
    period = export.period
    last = period.last_day or export.requested_at.astimezone(export.zone).date()
    days = f"{period.first_day}-to-{last}" if period.first_day else f"to-{last}"
    return f"{what}-{days}"


def slug(dataset: str) -> str:
    """A dataset's key as a name for a folder, and the beginning of a file's name."""
    name = slugify(dataset)[:LONGEST_NAME] or "export"
    return f"{name}-data" if name in DEVICES else name


def folders(keys: list[str]) -> dict[str, str]:
    """A folder's name for each dataset, no two alike."""
    found: dict[str, str] = {}
    for key in keys:
        name, count = slug(key), 1
        while name in found.values():
            count += 1
            name = f"{slug(key)}-{count}"
        found[key] = name
    return found
