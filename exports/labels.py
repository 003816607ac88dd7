"""What an export is called on pages and in messages, also when the code of its dataset or format is gone."""

from __future__ import annotations

from typing import Any

from exports.datasets import datasets
from exports.errors import ExportError
from exports.formats import formats
from exports.models import Export
from exports.registry import Registry


def dataset_label(export: Export) -> str:
    """ "Orders", or "Orders, Invoices" for a bundle."""
    return ", ".join(_label(datasets, key) for key in export.datasets)


def format_label(export: Export) -> str:
    return _label(formats, export.format)


def column_labels(export: Export) -> list[str]:
    """The headings of the columns that were chosen; the names where the dataset does not know them any more."""
    if export.dataset not in datasets:
        return list(export.fields)
    labels = {column.name: str(column.label) for column in datasets.get(export.dataset).columns}
    return [labels.get(name, name) for name in export.fields]


def _label(registry: Registry[Any], key: str) -> str:
    try:
        return str(registry.get(key).label)
    except ExportError:  # its code is gone, its exports are not
        return key
