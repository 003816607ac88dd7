"""Writer of the final file: joins the parts, fills pages with rows, and adds headings, margins and bookmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, BinaryIO

import pydyf

from exports.formats.pdf import fonts
from exports.formats.pdf.bookmarks import Mark, outline
from exports.formats.pdf.file import EXACT, KIDS, File, format_number, move, references, string
from exports.formats.pdf.internals import (
    PERIOD,
    POINT,
    SAMPLE_ROWS,
    Assets,
    Line,
    Margin,
    PageKind,
    Shaper,
    Sheet,
    counted,
    style_key,
    unsupported_template,
)
from exports.formats.pdf.paging import PageKinds, Plan, plan
from exports.formats.pdf.part_file import Link, Sizes, read_rows
from exports.formats.pdf.rows import Typesetter
from exports.formats.pdf.template import section
from exports.formats.pdf.text import Letters

NAMES = re.compile(rb"\b(?:Tf|Do)\b")
"""Operators that refer to a font or to another form."""
STYLES_OF_MARGINS = 10_000
"""First style number that does not belong to a column."""
BOX = b"/Type/XObject/Subtype/Form/BBox[%b]/Resources %d 0 R"


def write_file(
    sheet: Sheet, spool: BinaryIO, parts: Sequence[dict[str, Any]], rows: int, out: BinaryIO, *, before: int = 0
) -> int:
    """Write a file of `rows` rows to `out` and return the number of pages.

    `sheet` is the template laid out with its final texts, `spool` contains the blocks of all parts, and `parts` are
    their trailers. `before` is the number of rows in the preceding files if the export has several.
    """
    return FileWriter(sheet, parts, out).write(spool, rows, before)


class Forms:
    """Form XObjects: content painted on many pages, stored once in the file under a name."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.resources, self.plain_resources = file.reserve(), file.reserve()
        """Numbers of the resources of pages and of forms without text. PDF readers reload all fonts for each form."""
        self.numbers: dict[str, int] = {}

    def add(self, ops: bytes, box: Sequence[float]) -> bytes:
        """Add a form and return the operator that paints it; empty if `ops` is empty."""
        if not ops:
            return b""
        edges = " ".join(map(format_number, box)).encode()
        name = f"F{len(self.numbers)}"
        self.numbers[name] = self._file.stream(
            ops, BOX % (edges, self.resources if NAMES.search(ops) else self.plain_resources)
        )
        return f"/{name} Do\n".encode()


class RowDecorations:
    """Backgrounds and borders of rows, cached by position in the repeating pattern and by height in pixels."""

    def __init__(self, sheet: Sheet, forms: Forms) -> None:
        self._sheet, self._forms = sheet, forms
        looks = [sheet.decoration(row, 100.0) for row in sheet.rows[: 2 * PERIOD]]
        self._period = next((some for some in range(1, PERIOD + 1) if looks[1:-some] == looks[1 + some :]), 0)
        if not self._period:
            raise unsupported_template(f"row styles that repeat after more than {PERIOD} rows")
        self._alone = looks[0] != looks[self._period]
        self._known: dict[tuple[int, float], bytes] = {}

    def rows(self, first: int, sizes: Sizes, spacing: float, excess: float) -> bytes:
        """Return the operators that paint the decorations of one page, from the upper edge of its row `first` down."""
        known, period, row, found = self._known, self._period, first - 1 + sizes.more[0], list[bytes]()
        for height, more in zip(sizes.heights, sizes.more, strict=True):
            row += not more
            if not row and (self._alone or excess):  # it can be higher than the others even if its style is the same
                found.append(self._make(0, height, spacing, excess))
                continue
            key = period + row % period, height
            found.append(known.get(key) or known.setdefault(key, self._make(*key, spacing)))
        return b"".join(found)

    def _make(self, place: int, height: float, spacing: float, excess: float = 0) -> bytes:
        height += excess
        width = self._sheet.pages[0].margin_width()
        form = self._forms.add(self._sheet.decoration(self._sheet.rows[place], height), (0, -height, width, 2 * height))
        return form + f"1 0 0 1 0 {format_number(height + spacing, EXACT)} cm\n".encode()


class Margins:
    """Writer of margin texts that contain page numbers."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._letters: dict[str, Letters] = {}

    def operators(self, box: Margin, page: int, pages: int) -> bytes:
        """Return the operators for the text of `box` on page `page`; empty if it contains no page number."""
        if not box.parts:
            return b""
        numbers = {"page": page, "pages": pages}
        text = "".join(part if isinstance(part, str) else counted(numbers[part[0]], part[1]) for part in box.parts)
        letters = self._styled(box)
        line = self._line(letters, text)
        room = box.width - line.width
        x = box.left + {"left": 0, "center": room / 2, "right": room}[box.align]
        where = move(x * POINT, box.baseline * POINT)
        return b"q BT %b %b %b %b ET Q\n" % (letters.shaper.color, letters.home, where, line.ops)

    def _styled(self, box: Margin) -> Letters:
        key = style_key(box.style)
        if key not in self._letters:
            self._letters[key] = Letters(Shaper(box.style, STYLES_OF_MARGINS + len(self._letters), self._assets))
        return self._letters[key]

    @staticmethod
    def _line(letters: Letters, text: str) -> Line:
        if letters.covers(text):
            return next(letters.lines(text, None, breaks_words=False))
        return next(letters.shaper.lines(text, None))


class FileWriter:
    """Writes the file page by page."""

    def __init__(self, sheet: Sheet, parts: Sequence[dict[str, Any]], out: BinaryIO) -> None:
        self._sheet, self._file = sheet, File(out)
        self._typesetter = Typesetter(sheet, float("inf"))
        fonts.merge(parts, sheet.assets, sheet.shaper)
        self._excess = [sheet.excess(row) for row in sheet.rows[:SAMPLE_ROWS]]
        if any(any(pair) for pair in self._excess[1:]):
            raise unsupported_template("rows with different borders")
        self._forms = Forms(self._file)
        self._decorations = RowDecorations(sheet, self._forms)
        self._marks = sheet.bookmarks
        self._page_kinds = PageKinds(sheet.page_kinds())
        self._margins = Margins(sheet.assets)

    def write(self, spool: BinaryIO, rows: int, before: int = 0) -> int:
        done = plan(spool, self._page_kinds, self._sheet.spacing, sum(self._excess[0]))
        covers, count = len(self._page_kinds.covers), len(self._page_kinds.covers) + len(done.ends)
        numbers = range(first := self._file.reserve(count), first + count)
        nodes = range(node := self._file.reserve(-(-count // KIDS)), node - (-count // KIDS))
        forms = {id(kind): self._kind_forms(kind) for kind in (*self._page_kinds.covers, *self._page_kinds.tables)}
        for place, (kind, content, links) in enumerate(self._contents(spool, done)):
            form, margins = forms[id(kind)]
            margin_ops = b"".join(paint + self._margins.operators(box, place + 1, count) for paint, box in margins)
            stream = self._file.stream(form + content + margin_ops)
            size = b"/MediaBox[0 0 %b %b]" % _points(kind.width, kind.height)
            notes = b"/Annots[%b]" % references([self._file.write(link) for link in links]) if links else b""
            page = b"<</Type/Page/Parent %d 0 R%b%b/Contents %d 0 R>>" % (nodes[place // KIDS], size, notes, stream)
            self._file.write(page, numbers[place])
        self._end(numbers, nodes, self._bookmarks(done, covers, rows, before))
        return count

    def _kind_forms(self, kind: PageKind) -> tuple[bytes, list[tuple[bytes, Any]]]:
        box = (0, 0, kind.width * POINT, kind.height * POINT)
        return self._forms.add(kind.form, box), [(self._forms.add(each.form, box), each) for each in kind.margins]

    def _contents(self, spool: BinaryIO, done: Plan) -> Iterator[tuple[PageKind, bytes, list[bytes]]]:
        """Yield the kind of each page, the operators of its rows, and the annotations of its links."""
        for kind in self._page_kinds.covers:
            yield kind, b"", []
        row = -1
        for number, (sizes, text) in enumerate(read_rows(spool, (end - start for start, end in _pairs(done.ends)))):
            kind = self._page_kinds.tables[self._page_kinds.table(number)]
            first = row + (not sizes.more[0])
            row += sizes.more.count(0)
            yield kind, self._rows(kind, first, sizes, text), self._links(kind, first, sizes)

    def _rows(self, kind: PageKind, first: int, sizes: Sizes, text: list[bytes]) -> bytes:
        top = kind.start or 0.0
        lead, trail = self._excess[0] if first == 0 and not sizes.more[0] else (0.0, 0.0)
        decoration = self._decorations.rows(first, sizes, self._sheet.spacing, lead + trail)
        if trail:
            head = text[0][: sizes.lengths[0]]
            text = [head, move(0, -trail * POINT), b"\n", text[0][len(head) :], *text[1:]]
        left, below = self._typesetter.origin
        start = move((left + kind.shift) * POINT, (kind.height - top - lead - below) * POINT)
        place = f"{format_number(kind.shift * POINT)} {format_number((kind.height - top) * POINT, EXACT)}"
        scale = f"{POINT} 0 0 -{POINT} {place} cm\n".encode()
        return b"".join(
            [b"q ", scale, decoration, b"Q\nq BT ", self._typesetter.start, b" ", start, b"\n", *text, b"ET Q\n"]
        )

    def _links(self, kind: PageKind, first: int, sizes: Sizes) -> list[bytes]:
        """Return the annotations of the links on one page. Each covers the content of its cell."""
        if not sizes.links:
            return []
        steps = [height + self._sheet.spacing for height in sizes.heights]
        if first == 0 and not sizes.more[0]:
            steps[0] += sum(self._excess[0])
        tops = list(accumulate(steps, initial=kind.start or 0.0))
        return [self._link(kind, link, tops[link.row], sizes.heights[link.row]) for link in sizes.links]

    def _link(self, kind: PageKind, link: Link, top: float, height: float) -> bytes:
        box = self._typesetter.columns[link.column].box
        left, below = box.left + kind.shift, kind.height - top - height
        rect = b" ".join(_points(left, below, left + box.width, below + height))
        return b"<</Type/Annot/Subtype/Link/F 4/Border[0 0 0]/Rect[%b]/A<</S/URI/URI%b>>>>" % (
            rect,
            string(link.target),
        )

    # --- end of the file ---

    def _bookmarks(self, done: Plan, covers: int, rows: int, before: int) -> Iterator[Mark]:
        """Yield the bookmarks of the template, plus one for each section if the first row has one."""
        sample = section(0, rows, before)
        for level, label, page, x, y in self._marks:
            if not sample or label != sample:
                height = self._sheet.pages[page].margin_height()
                yield Mark(level, label, page, x * POINT, (height - y) * POINT)
                continue
            start = self._page_kinds.tables[0].start or 0.0
            for row, number, top in done.sections:
                kind = self._page_kinds.tables[self._page_kinds.table(number)]
                place = (kind.height - top - (y - start)) * POINT
                yield Mark(level, section(row, rows, before), covers + number, x * POINT, place)

    def _end(self, numbers: range, nodes: range, marks: Iterator[Mark]) -> None:
        file, forms = self._file, self._forms
        embedded = fonts.embed(file, self._sheet.assets)
        resources = self._sheet.assets.resources
        resources["XObject"].update({name: b"%d 0 R" % number for name, number in forms.numbers.items()})
        resources["Font"] = b"<<%b>>" % b"".join(
            f"/{name} ".encode() + reference for name, reference in embedded.items()
        )
        file.write(resources.data, forms.resources)
        light = {kind: found for kind, found in resources.items() if kind not in ("Font", "XObject")}
        file.write(pydyf.Dictionary(light).data, forms.plain_resources)
        tree = file.pages(numbers, nodes, b"/Resources %d 0 R" % forms.resources)
        entries = outline(file, list(marks), numbers)
        language = self._sheet.metadata.pop("Lang", None)
        if language:
            entries += b"/Lang" + string(language)
        root = file.write(b"<</Type/Catalog/Pages %d 0 R%b>>" % (tree, entries))
        info = b"".join(f"/{name}".encode() + string(value) for name, value in self._sheet.metadata.items())
        file.close(root, file.write(b"<<%b>>" % info))


def _pairs(ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield 0, ends[0]
    yield from pairwise(ends)


def _points(*lengths: float) -> tuple[bytes, ...]:
    return tuple(format_number(length * POINT).encode() for length in lengths)
