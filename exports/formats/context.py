"""Render contexts of an export's files, and the names of its files and folders."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.text import slugify

from exports.datasets import Dataset, KeyRange, datasets
from exports.datasets.rules import key_value
from exports.formats import RenderContext
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
    """Return the timestamp of the entries in the export's archives: when it was requested, in the owner's zone."""
    return export.requested_at.astimezone(export.zone)


def keys_of(part: Part, dataset: Dataset) -> KeyRange | None:
    """Return the part's range of keys, or None for a part without rows."""
    if not part.rows:  # not `part.first_key`: where keys are text, "" is a valid key
        return None
    model = dataset.model(part.export.owner)
    return KeyRange(key_value(model, part.first_key), key_value(model, part.last_key), part.rows)


def stem(export: Export, what: str) -> str:
    """Return a file name without its extension, safe for any browser and file system: `what` and the export's days."""
    period = export.period
    last = period.last_day or export.requested_at.astimezone(export.zone).date()
    days = f"{period.first_day}-to-{last}" if period.first_day else f"to-{last}"
    return f"{what}-{days}"


def slug(dataset: str) -> str:
    """Return a dataset's key as an ASCII slug, for the name of a folder and the beginning of a file name."""
    name = slugify(dataset)[:LONGEST_NAME] or "export"
    return f"{name}-data" if name in DEVICES else name


def folders(keys: list[str]) -> dict[str, str]:
    """Return a unique folder name for each dataset key."""
    found: dict[str, str] = {}
    for key in keys:
        name, count = slug(key), 1
        while name in found.values():
            count += 1
            name = f"{slug(key)}-{count}"
        found[key] = name
    return found
