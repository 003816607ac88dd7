"""The XML around the rows (ECMA-376): the head and tail of a sheet, and the other files of the workbook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from exports.formats.values import encode, for_xml
from exports.formats.xlsx.grid import letters
from exports.formats.xlsx.styles import HEADING

DECLARED = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
SCHEMAS = "http://schemas.openxmlformats.org"
MAIN = f'xmlns="{SCHEMAS}/spreadsheetml/2006/main"'
LINKS = f"{SCHEMAS}/officeDocument/2006/relationships"
HIDDEN = ' hidden="1"'
TYPES, PACKAGES = (f"application/vnd.openxmlformats-{kind}" for kind in ("officedocument", "package"))


def sheet_head(labels: Sequence[str], widths: Sequence[int], rows: int, *, right_to_left: bool) -> bytes:
    """Return the XML before the first data row: column widths, and the headings in a frozen row.

    `rows` is the number of rows of the sheet, including the heading row.
    """
    side = ' rightToLeft="1"' if right_to_left else ""
    columns = "".join(
        f'<col min="{place}" max="{place}" width="{width}" customWidth="1"/>' for place, width in enumerate(widths, 1)
    )
    cells = "".join(
        f'<c r="{letters(place)}1" s="{HEADING}" t="inlineStr"><is><t{_space(label)}>{_text(label)}</t></is></c>'
        for place, label in enumerate(labels, 1)
    )
    return encode(
        f'{DECLARED}<worksheet {MAIN}><sheetPr><pageSetUpPr fitToPage="1"/></sheetPr>'
        f'<dimension ref="{area(len(labels), rows).replace("$", "")}"/>'
        f'<sheetViews><sheetView workbookViewId="0"{side}>'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f'<sheetFormatPr defaultRowHeight="15"/><cols>{columns}</cols><sheetData><row r="1">{cells}</row>\n'
    )


def _space(text: str) -> str:
    return ' xml:space="preserve"' if text != text.strip() else ""


def sheet_tail(columns: int, rows: int, linked: Sequence[str] = ()) -> bytes:
    """Return the XML after the rows: the filter on the headings, the links of cells, and the print settings.

    `linked` are the cells with links, in the order of `link_relations`.
    """
    covered = area(columns, rows).replace("$", "")
    return (
        f'</sheetData><autoFilter ref="{covered}"/>{_hyperlinks(linked)}'
        '<pageMargins left="0.5" right="0.5" top="0.6" bottom="0.6" header="0.3" footer="0.3"/>'
        '<pageSetup paperSize="9" orientation="landscape" fitToHeight="0"/></worksheet>'
    ).encode()


def _hyperlinks(cells: Sequence[str]) -> str:
    if not cells:
        return ""
    each = "".join(f'<hyperlink ref="{cell}" r:id="rId{number}"/>' for number, cell in enumerate(cells, 1))
    return f'<hyperlinks xmlns:r="{LINKS}">{each}</hyperlinks>'


def link_relations(targets: Iterable[str]) -> str:
    """Return the XML with the targets of a sheet's links."""
    return _relations(((f"{LINKS}/hyperlink", escape(target)) for target in targets), ' TargetMode="External"')


def area(columns: int, rows: int) -> str:
    """Return the range from the first cell to the last."""
    return f"$A$1:${letters(columns)}${rows}"


def workbook(names: Sequence[str], areas: Sequence[str]) -> str:
    """Return the XML with the sheets' names, the areas of their filters, and the headings that each page repeats."""
    sheets = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>' for number, name in enumerate(names, 1)
    )
    defined = "".join(
        _defined("_FilterDatabase", place, name, covered, HIDDEN) + _defined("Print_Titles", place, name, "$1:$1")
        for place, (name, covered) in enumerate(zip(names, areas, strict=True))
    )
    return (
        f'{DECLARED}<workbook {MAIN} xmlns:r="{LINKS}"><bookViews><workbookView/></bookViews>'
        f"<sheets>{sheets}</sheets><definedNames>{defined}</definedNames></workbook>"
    )


def _defined(what: str, place: int, sheet: str, covered: str, hidden: str = "") -> str:
    """Return one of Excel's built-in defined names, for cells of the sheet at index `place`."""
    reference = f"'{escape(sheet, quote=False)}'!{covered}"
    return f'<definedName name="_xlnm.{what}" localSheetId="{place}"{hidden}>{reference}</definedName>'


def workbook_relations(sheets: int) -> str:
    targets = [("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, sheets + 1)]
    return _relations((f"{LINKS}/{kind}", target) for kind, target in [*targets, ("styles", "styles.xml")])


def content_types(sheets: int) -> str:
    parts = {"xl/workbook.xml": "spreadsheetml.sheet.main", "xl/styles.xml": "spreadsheetml.styles"}
    parts |= {f"xl/worksheets/sheet{number}.xml": "spreadsheetml.worksheet" for number in range(1, sheets + 1)}
    parts |= {"docProps/app.xml": "extended-properties"}
    overrides = "".join(
        f'<Override PartName="/{name}" ContentType="{TYPES}.{kind}+xml"/>' for name, kind in parts.items()
    )
    return (
        f'{DECLARED}<Types xmlns="{SCHEMAS}/package/2006/content-types">'
        f'<Default Extension="rels" ContentType="{PACKAGES}.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/docProps/core.xml" ContentType="{PACKAGES}.core-properties+xml"/>'
        f"{overrides}</Types>"
    )


def properties(title: str, owner: str, created: datetime) -> str:
    """Return the XML with title, author and date of the request."""
    moment = f"{created.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return (
        f'{DECLARED}<cp:coreProperties xmlns:cp="{SCHEMAS}/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:title>{_text(title)}</dc:title><dc:creator>{_text(owner)}</dc:creator>"
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{moment}</dcterms:created></cp:coreProperties>'
    )


def _relations(links: Iterable[tuple[str, str]], mode: str = "") -> str:
    each = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"{mode}/>'
        for number, (kind, target) in enumerate(links, 1)
    )
    return f'{DECLARED}<Relationships xmlns="{SCHEMAS}/package/2006/relationships">{each}</Relationships>'


def _text(text: str) -> str:
    return escape(for_xml(text), quote=False)


PACKAGE = _relations(
    [
        (f"{LINKS}/officeDocument", "xl/workbook.xml"),
        (f"{SCHEMAS}/package/2006/relationships/metadata/core-properties", "docProps/core.xml"),
        (f"{LINKS}/extended-properties", "docProps/app.xml"),
    ]
)
APP = f'{DECLARED}<Properties xmlns="{SCHEMAS}/officeDocument/2006/extended-properties"></Properties>'
