"""Labels of an export for pages and messages. They also work after its dataset or format was removed from the code."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.utils.translation import gettext

from durable.registry import Registry
from durable.users import name_of
from exports.datasets import datasets
from exports.datasets.filtering import in_words, parameters
from exports.errors import ExportError
from exports.formats import current, formats, options_of
from exports.models import Export

logger = logging.getLogger(__name__)
NAMED = 3
"""Number of datasets that a label names, if there are many."""


def owner_label(export: Export) -> str:
    """Return the name of the user or the team whose data it is, or its key if it was deleted."""
    owner = export.data_owner
    if owner is None:
        return export.subject_key
    return name_of(owner) if isinstance(owner, get_user_model()) else str(owner)


def dataset_label(export: Export) -> str:
    """Return "Orders", or "Orders, Invoices" for a bundle, or "Orders, Invoices, Payments and 37 more"."""
    labels = [_label(datasets, key) for key in export.datasets]
    if len(labels) <= NAMED + 1:
        return ", ".join(labels)
    words = gettext("%(some)s and %(count)s more")
    return words % {"some": ", ".join(labels[:NAMED]), "count": len(labels) - NAMED}


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


class ChosenParam(NamedTuple):
    """A chosen parameter, as it is stored and in words."""

    name: str
    value: str
    label: str
    words: str


def chosen_params(export: Export, dataset: str = "") -> list[ChosenParam]:
    """Return the chosen parameters of one dataset, or of all, in the order of the form.

    With those of several datasets, each label begins with the label of its dataset: "Orders: Status".
    """
    if not export.params:
        return []
    selection, found = export.selection, []
    for key in [dataset] if dataset else export.datasets:
        of = f"{_label(datasets, key)}: " if len(export.datasets) > 1 and not dataset else ""
        for name, label, words in _params_in_words(key, selection.owner, selection.params_of(key)):
            found.append(ChosenParam(name, selection.params_of(key)[name], f"{of}{label}", words))
    return found


def _params_in_words(key: str, owner: Any, texts: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return name, label and value in words of each parameter of a dataset."""
    if key in datasets:
        try:
            params = parameters(datasets.get(key), owner)
            names = [*(name for name in params.fields if name in texts), *sorted(set(texts) - set(params.fields))]
            return [(name, *in_words(params, name, texts[name])) for name in names]
        except Exception:
            logger.exception("The parameters of the dataset %s could not be written in words.", key)
    return [(name, name, text) for name, text in sorted(texts.items())]


def filter_words(export: Export, dataset: str = "") -> list[tuple[str, str]]:
    """Return the chosen parameters as pairs of label and value in words."""
    return [(param.label, param.words) for param in chosen_params(export, dataset)]


def filter_line(export: Export, dataset: str = "") -> str:
    """Return the chosen parameters on a line, such as "Status: Open; Search: tea"; empty if there are none."""
    return "; ".join(f"{label}: {words}" for label, words in filter_words(export, dataset))


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
