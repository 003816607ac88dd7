"""Labels of an export for pages and messages. They also work after its dataset or format was removed from the code."""

from __future__ import annotations

from typing import Any

from durable.registry import Registry
from exports.datasets import datasets
from exports.errors import ExportError
from exports.formats import current, formats, options_of
from exports.models import Export


def dataset_label(export: Export) -> str:
    """Return "Orders", or "Orders, Invoices" for a bundle."""
    return ", ".join(_label(datasets, key) for key in export.datasets)


def format_label(export: Export) -> str:
    return _label(formats, export.format)


def inside_labels(export: Export) -> list[str]:
    """Return the labels of the formats in a bundle."""
    return [_label(formats, key) for key in export.inside]


def option_words(export: Export) -> list[tuple[str, str]]:
    """Return the options that differ from their defaults, as pairs of label and value in words."""
    kinds = [formats.get(key) for key in (export.format, *export.inside) if key in formats]
    known = options_of(kinds)
    found = []
    for name, value in current(kinds, export.options).items():
        words = {key: str(label) for key, label in known[name].choices} if name in known else {}
        found.append((str(known[name].label) if name in known else name, words.get(value, value)))
    return found


def column_labels(export: Export) -> list[str]:
    """Return the headings of the chosen columns, or the names of columns that no longer exist."""
    if export.dataset not in datasets:
        return list(export.fields)
    labels = {column.name: str(column.label) for column in datasets.get(export.dataset).columns}
    return [labels.get(name, name) for name in export.fields]


def _label(registry: Registry[Any], key: str) -> str:
    try:
        return str(registry.get(key).label)
    except ExportError:  # removed from the code, while its exports remain
        return key
