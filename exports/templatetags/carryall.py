"""What the pages need beside Django's own filters."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings

from exports.datasets import datasets
from exports.errors import ExportError
from exports.formats import formats
from exports.models import Export
from exports.registry import Registry

register = template.Library()


@register.filter
def dataset_label(export: Export) -> str:
    return _label(datasets, export.dataset)


@register.filter
def format_label(export: Export) -> str:
    return _label(formats, export.format)


@register.filter
def column_labels(export: Export) -> list[str]:
    """The headings of the columns that were chosen; the names where the dataset does not know them any more."""
    if export.dataset not in datasets:
        return list(export.fields)
    labels = {column.name: str(column.label) for column in datasets.get(export.dataset).columns}
    return [labels.get(name, name) for name in export.fields]


@register.simple_tag
def demo() -> bool:
    """Is this the demo, whose sign-ins are public?"""
    return bool(getattr(settings, "DEMO", False))


def _label(registry: Registry[Any], key: str) -> str:
    try:
        return str(registry.get(key).label)
    except ExportError:  # its code is gone, its exports are not
        return key
