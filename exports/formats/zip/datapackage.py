"""datapackage.json: the bundle's files as a Data Package 2.0 (datapackage.org), which many tools read as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from django.utils.translation import gettext

from exports.conf import export_settings
from exports.datasets import Column, datasets, flat
from exports.datasets.tables import NestedTable
from exports.formats import writer
from exports.formats.context import columns_of, slug, unique
from exports.formats.zip.manifest import Bundle, Listing, media_type_of, moment

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"


def datapackage(bundle: Bundle) -> dict[str, Any]:
    """Return the descriptor as JSON data: one resource for each file, or for all files of a split table.

    A resource of several files has neither size nor checksum: the standard defines them for one file. The manifest has
    those of each file.
    """
    export, controller = bundle.export, str(export_settings().controller)
    return {
        "$schema": PROFILE,
        "name": f"export-{export.uuid}",
        "id": str(export.uuid),
        "title": f"{gettext('Your data')}: {export.period_label}",
        "created": moment(bundle.created),
        **({"contributors": [{"title": controller, "roles": ["publisher"]}]} if controller else {}),
        "resources": _resources(bundle),
    }


def _resources(bundle: Bundle) -> list[dict[str, Any]]:
    groups = [(key, list(files)) for key in bundle.names for _, files in groupby(bundle.of(key), _table_of)]
    found = [_resource(key, bundle.names[key], files) for key, files in groups]
    for resource, name in zip(found, unique(resource["name"] for resource in found), strict=True):
        resource["name"] = name
    tables: dict[tuple[str, str], Mapping[str, Any]] = {}
    for (key, (first, *more)), resource in zip(groups, found, strict=True):
        if first.table and (more or first.share is None):  # not one piece of a split table
            tables[key, first.format] = resource
            resource["schema"] = resource["schema"] | _foreign_keys(bundle, first.content, tables)
    return found


def _foreign_keys(bundle: Bundle, number: int, tables: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the reference of a nested table to the table of its dataset; nothing for other tables.

    `tables` are the resources so far, by dataset and format: a dataset comes before its nested tables.
    """
    contents = bundle.export.contents
    content = contents[number]
    table = datasets.get(content.dataset)
    parent = (table.home, content.format)
    if not isinstance(table, NestedTable) or parent not in tables:
        return {}
    home = next(place for place, each in enumerate(contents) if (each.dataset, each.format) == parent)
    own, theirs = columns_of(bundle.export, number), columns_of(bundle.export, home)
    own_key, their_key = table.keys(own, theirs)
    reference = {"resource": tables[parent]["name"], "fields": [_field_name(tables[parent], theirs, their_key)]}
    here = tables[content.dataset, content.format]
    return {"foreignKeys": [{"fields": [_field_name(here, own, own_key)], "reference": reference}]}


def _field_name(resource: Mapping[str, Any], columns: Sequence[Column], name: str) -> str:
    """Return the name that the field of a column has in the file."""
    place = [slot.name for slot in flat(columns)].index(name)
    return str(resource["schema"]["fields"][place]["name"])


def _table_of(file: Listing) -> tuple[int, str]:
    """Return the same value for the files that are one table together."""
    joined = file.share is not None and getattr(writer(file.format), "joins", False)
    return file.content, "" if joined else file.path


def _resource(key: str, stem: str, files: list[Listing]) -> dict[str, Any]:
    """Return the resource of one file of a table, or of its pieces. `stem` is the start of its name."""
    first, dataset = files[0], datasets.get(key)
    own: Mapping[str, Any] = {"path": first.path, "bytes": first.size, "hash": f"sha256:{first.sha256}"}
    if len(files) > 1:
        own = {"path": [file.path for file in files]}
    extension = first.path.rpartition(".")[2]
    described = {"description": str(dataset.description)} if dataset.description and first.format else {}
    return {
        "name": f"{stem}-{first.format or slug(first.path.rpartition('/')[2])}",
        "title": str(dataset.label),
        **described,
        **({"type": "table"} if first.table else {}),
        **own,
        "format": extension.lower(),
        "mediatype": media_type_of(first).partition(";")[0],
        **({"encoding": "utf-8"} if first.table else {}),
        **first.table,
    }
