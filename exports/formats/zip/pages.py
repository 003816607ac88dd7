"""The files that a bundle adds to the data: a page with the first rows, a README, the manifest and the checksums."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import get_language, get_language_bidi, gettext, ngettext
from django.utils.translation import gettext_lazy as _

from exports.conf import export_settings
from exports.datasets import Column, Nested, Row, datasets
from exports.datasets.tables import flat_columns
from exports.errors import DatabaseAway, DatasetFailed, ExportError, errors_as
from exports.formats import Kind, formats, writer
from exports.formats.assembly import Assembly
from exports.formats.context import columns_of, keys_of
from exports.formats.labels import filter_line, owner_label
from exports.formats.pdf.localize import Words
from exports.formats.values import for_xml
from exports.formats.zip.datapackage import datapackage
from exports.formats.zip.manifest import DECLARED, Bound, Bundle, Listing, Missing, declared, manifest
from exports.models import Export
from notifications.dates import moment_with_zone

logger = logging.getLogger(__name__)

ROWS, LETTERS = 20, 200
"""Maximum rows per dataset and characters per cell on the page."""
UPLOADS = 100
"""Maximum uploads per dataset that the page lists. It says how many more there are."""
README_FOLDER = "readme"
"""Folder of the READMEs of all volumes except the first."""
OPENING: Mapping[str, str | Promise] = {
    "csv": _("opens in Excel, LibreOffice and Numbers, and goes into any database."),
    "xlsx": _("opens in Excel, LibreOffice, Numbers and Google Sheets."),
    "pdf": _("opens in any browser and is ready to print."),
    "json": _("is for programs: one array of objects."),
    "jsonl": _("is for programs: one JSON object per line."),
    "parquet": _("is for programs: pandas, DuckDB, Spark, R."),
}
"""How to open the files of each format. Other formats show their hint."""
UNGUARDED = _("is for programs: formulas are not escaped. A spreadsheet may run text that looks like a formula.")
"""Shown instead for CSV files in which formulas are not guarded."""


@dataclass(frozen=True)
class Preview:
    """The first rows of a dataset as text. `cut`: a cell was truncated. `failed`: the rows could not be read.

    Headings and cells are pairs of the text and whether the column is numeric.
    """

    headings: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[tuple[str, bool]]] = ()
    cut: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Extras:
    """The files that a bundle holds besides the data."""

    previews: Mapping[str, Preview]

    def of_first(self, bundle: Bundle) -> dict[str, str]:
        """Return the texts for the first volume by file name. They describe all volumes."""
        return {
            "README.txt": _readme(bundle, bundle.volumes[0]),
            "index.html": render_to_string("exports/bundle/index.html", _page(bundle, self.previews)),
            "manifest.json": _json(manifest(bundle)),
            "datapackage.json": _json(datapackage(bundle)),
            "SHA256SUMS.txt": "".join(f"{file.sha256}  {file.path}\n" for file in bundle.files),
        }

    def of_other(self, bundle: Bundle, volume: Bound) -> dict[str, str]:
        """Return the text for another volume by file name. It has its own folder, so that no name is in two volumes and
        all can be unpacked into one folder, with a single README at the top.
        """
        return {f"{README_FOLDER}/volume-{volume.number}-of-{len(bundle.volumes)}.txt": _readme(bundle, volume)}


# --- the first rows -------------------------------------------------------------------------------------------------


def previews(assembly: Assembly) -> dict[str, Preview]:
    """Return the first rows of each dataset, read from the database again, because the files may be of any format.

    Errors only affect the preview, because the files exist already. Only DatabaseAway is raised.
    """
    found = {}
    contents = assembly.export.contents
    for number, content in enumerate(contents):
        if content.dataset not in found:
            found[content.dataset] = _preview(assembly, number)
    return found


def _preview(assembly: Assembly, number: int) -> Preview:
    content = assembly.export.contents[number]
    columns = _shown_columns(assembly.export, number)
    amounts = [column.type.numeric for column in columns]
    headings = [(_line(column.label), amount) for column, amount in zip(columns, amounts, strict=True)]
    try:
        with errors_as(DatasetFailed):
            rows = _first_rows(assembly, number)
            words = [[for_xml(text) for text in texts] for texts in Words(columns, assembly.export.zone)(rows)]
    except DatabaseAway:
        raise
    except ExportError as error:
        logger.warning("%s: cannot show the first rows of %s: %r", assembly.export, content.dataset, error.__cause__)
        return Preview(headings, failed=True)
    cut = any(len(text) > LETTERS for texts in words for text in texts)
    short = [list(map(_short, texts)) for texts in words]
    return Preview(headings, [list(zip(row, amounts, strict=True)) for row in zip(*short, strict=True)], cut)


def _first_rows(assembly: Assembly, number: int) -> list[Row]:
    export, content = assembly.export, assembly.export.contents[number]
    dataset, columns = datasets.get(content.dataset), _shown_columns(export, number)
    rows: list[Row] = []
    for part in assembly.parts(number):
        if len(rows) < ROWS:
            source = dataset.source(export.selection, columns, keys_of(part, dataset))
            rows += source.head(ROWS - len(rows))
    return rows


def _shown_columns(export: Export, number: int) -> list[Column]:
    """Return the columns for the page: objects in a row are left out."""
    return flat_columns(datasets.get(export.contents[number].dataset), columns_of(export, number))


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"


# --- the pages ------------------------------------------------------------------------------------------------------


def _readme(bundle: Bundle, volume: Bound) -> str:
    export = bundle.export
    kinds = [writer(key) for key in export.inside]
    context = _common(bundle) | {
        "volume": volume,
        "datasets": [_described(export, key) for key in export.tables],
        "declared": any(map(_declared, export.tables)),
        "kinds": [
            (kind.extension_of(export.options), _line(kind.label), _opening(kind, export.options)) for kind in kinds
        ],
        "example": bundle.files[0].path if bundle.files else "manifest.json",
        "expires": _in_words(bundle.created + timedelta(days=export_settings().keep_days), bundle),
    }
    return str(render_to_string("exports/bundle/README.txt", context))


def _opening(kind: Kind, options: Mapping[str, str]) -> str | Promise:
    """Return how to open files of this kind."""
    if kind.key == "csv" and options.get("for") == "programs":
        return UNGUARDED
    return OPENING.get(kind.key, kind.hint)


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n"


def _declared(key: str) -> list[tuple[str, str]]:
    """Return what the dataset declares about its data: pairs of heading and text."""
    return [(str(DECLARED[name]), _line(text)) for name, text in declared(key).items()]


def _page(bundle: Bundle, shown: Mapping[str, Preview]) -> dict[str, Any]:
    return _common(bundle) | {
        "language": get_language(),
        "direction": "rtl" if get_language_bidi() else "ltr",
        "requested": _in_words(bundle.export.requested_at, bundle),
        "holders": [_line(kind.label) for kind in map(writer, bundle.export.inside) if kind.holds_objects],
        "datasets": [_section(bundle, key, name, shown[key]) for key, name in bundle.names.items()],
    }


def _described(export: Export, key: str) -> dict[str, Any]:
    """Return what the README and the page say of a table itself."""
    return {
        "label": _line(datasets.get(key).label),
        "filters": _line(filter_line(export, key)),
        "declared": _declared(key),
    }


def _section(bundle: Bundle, key: str, name: str, preview: Preview) -> dict[str, Any]:
    """Return the template context of one table."""
    files = bundle.of(key)
    uploads = [file for file in files if file.upload]
    return _described(bundle.export, key) | {
        "id": name,
        "description": _line(datasets.get(key).description),
        "nested": [_line(column.label) for column in bundle.columns(key) if isinstance(column, Nested)],
        "rows": _rows(bundle.rows(key)),
        "preview": preview,
        "shown": len(preview.rows),
        "files": [_shown(file) for file in files if not file.upload],
        "uploads": [_shown(file) for file in uploads[:UPLOADS]],
        "uploads_count": _files(len(uploads)),
        "uploads_more": _files(len(uploads) - UPLOADS) if len(uploads) > UPLOADS else "",
        "missing": [_missing(each) for each in bundle.missing_of(key)],
    }


def _missing(each: Missing) -> tuple[str, str]:
    return _line(each.upload.path), each.reason


def _shown(file: Listing) -> dict[str, Any]:
    facts = [str(formats.get(file.format).label)] if file.format else []
    facts += [_line(file.upload.label)] if file.upload else []
    facts += [gettext("part %(number)s of %(count)s") % vars(file.share)] if file.share else []
    facts += [] if file.rows is None else [_rows(file.rows)]
    facts += [] if file.pages is None else [ngettext("%s page", "%s pages", file.pages) % _count(file.pages)]
    address, name = quote(file.path), file.path.rpartition("/")[2]
    return {"file": file, "address": address, "name": name, "facts": [*facts, filesizeformat(file.size)]}


def _common(bundle: Bundle) -> dict[str, Any]:
    export = bundle.export
    return {
        "bundle": bundle,
        "owner": _line(owner_label(export)),
        "period": export.period_label,
        "zone": export.time_zone,
        "created": _in_words(bundle.created, bundle),
        "controller": _line(export_settings().controller),
        "missing": [_missing(each) for each in bundle.missing],
        "volumes": bundle.volumes,
        "several": len(bundle.volumes) > 1,
    }


def _in_words(moment: datetime, bundle: Bundle) -> str:
    return moment_with_zone(moment.astimezone(bundle.export.zone))


def _rows(rows: int) -> str:
    return ngettext("%s row", "%s rows", rows) % _count(rows)


def _files(count: int) -> str:
    return ngettext("%s file", "%s files", count) % _count(count)


def _count(number: int) -> str:
    return number_format(number, force_grouping=True)


def _line(text: object) -> str:
    """Return `text` on a single line, with runs of whitespace collapsed."""
    return " ".join(for_xml(str(text)).split())
