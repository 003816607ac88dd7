"""Parts made into one file: rows fill pages, and pages get what stands around the rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, BinaryIO

import pydyf

from exports.formats.pdf import fonts
from exports.formats.pdf.bookmarks import Mark, outline
from exports.formats.pdf.file import EXACT, KIDS, File, move, plain, string
from exports.formats.pdf.internals import (
    PERIOD,
    POINT,
    SAMPLE_ROWS,
    Inks,
    Leaf,
    Line,
    Margin,
    Shaper,
    Sheet,
    counted,
    style_key,
    unfit,
)
from exports.formats.pdf.paging import Leaves, Plan, plan
from exports.formats.pdf.part_file import Sizes, pieces
from exports.formats.pdf.rows import Setter
from exports.formats.pdf.template import section
from exports.formats.pdf.text import Letters

NAMES = re.compile(rb"\b(?:Tf|Do)\b")
"""The operators that take a font or another form."""
STYLES_OF_MARGINS = 10_000
"""Where the numbers of styles begin that are no column's."""
BOX = b"/Type/XObject/Subtype/Form/BBox[%b]/Resources %d 0 R"


def bind(
    sheet: Sheet, spool: BinaryIO, parts: Sequence[dict[str, Any]], rows: int, out: BinaryIO, *, before: int = 0
) -> int:
    """Write the file of `rows` rows, whose blocks are in `spool`; the number of its pages.

    `before` is the number of rows in the files before this one, when it is one of several.

    `parts` are the trailers; `sheet` is the template with the words that it is to show.
    """
    return Binder(sheet, parts, out).write(spool, rows, before)


class Forms:
    """What is painted on many pages: each once in the file, under a name."""

    def __init__(self, file: File) -> None:
        self._file = file
        self.resources, self.plain = file.reserve(), file.reserve()
        """The resources of pages, and those of forms without text: readers load all fonts of each form anew."""
        self.numbers: dict[str, int] = {}

    def add(self, ops: bytes, box: Sequence[float]) -> bytes:
        """The operator that paints `ops`; nothing for none."""
        if not ops:
            return b""
        edges = " ".join(map(plain, box)).encode()
        name = f"F{len(self.numbers)}"
        self.numbers[name] = self._file.stream(ops, BOX % (edges, self.resources if NAMES.search(ops) else self.plain))
        return f"/{name} Do\n".encode()


class Decor:
    """What is painted behind rows, by a row's place among those that look alike, and its height in pixels."""

    def __init__(self, sheet: Sheet, forms: Forms) -> None:
        self._sheet, self._forms = sheet, forms
        looks = [sheet.decor(row, 100.0) for row in sheet.rows[: 2 * PERIOD]]
        self._period = next((some for some in range(1, PERIOD + 1) if looks[1:-some] == looks[1 + some :]), 0)
        if not self._period:
            raise unfit(f"rows whose looks repeat after more than {PERIOD}")
        self._alone = looks[0] != looks[self._period]
        self._known: dict[tuple[int, float], bytes] = {}

    def rows(self, first: int, sizes: Sizes, spacing: float, excess: float) -> bytes:
        """What paints a page's rows, of which the first is the row `first`, downward from its upper edge."""
        known, period, row, found = self._known, self._period, first - 1 + sizes.more[0], list[bytes]()
        for height, more in zip(sizes.heights, sizes.more, strict=True):
            row += not more
            if not row and (self._alone or excess):  # it may look like the others and be higher all the same
                found.append(self._made(0, height, spacing, excess))
                continue
            key = period + row % period, height
            found.append(known.get(key) or known.setdefault(key, self._made(*key, spacing)))
        return b"".join(found)

    def _made(self, place: int, height: float, spacing: float, excess: float = 0) -> bytes:
        height += excess
        width = self._sheet.pages[0].margin_width()
        form = self._forms.add(self._sheet.decor(self._sheet.rows[place], height), (0, -height, width, 2 * height))
        return form + f"1 0 0 1 0 {plain(height + spacing, EXACT)} cm\n".encode()


class Margins:
    """Writes the words in a page's margins that name its number."""

    def __init__(self, inks: Inks) -> None:
        self._inks = inks
        self._letters: dict[str, Letters] = {}

    def words(self, box: Margin, page: int, pages: int) -> bytes:
        """The words of a box on the page of that number; nothing when it has none of its own."""
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
            self._letters[key] = Letters(Shaper(box.style, STYLES_OF_MARGINS + len(self._letters), self._inks))
        return self._letters[key]

    @staticmethod
    def _line(letters: Letters, text: str) -> Line:
        if letters.covers(text):
            return next(letters.lines(text, None, breaks_words=False))
        return next(letters.shaper.lines(text, None))


class Binder:
    """Writes the file, page after page."""

    def __init__(self, sheet: Sheet, parts: Sequence[dict[str, Any]], out: BinaryIO) -> None:
        self._sheet, self._file = sheet, File(out)
        self._setter = Setter(sheet, float("inf"))
        fonts.gather(parts, sheet.inks, sheet.shaper)
        self._excess = [sheet.excess(row) for row in sheet.rows[:SAMPLE_ROWS]]
        if any(any(pair) for pair in self._excess[1:]):
            raise unfit("rows with borders of their own")
        self._forms = Forms(self._file)
        self._decor = Decor(sheet, self._forms)
        self._marks = sheet.bookmarks
        self._leaves = Leaves(sheet.leaves())
        self._margins = Margins(sheet.inks)

    def write(self, spool: BinaryIO, rows: int, before: int = 0) -> int:
        done = plan(spool, self._leaves, self._sheet.spacing, sum(self._excess[0]))
        covers, count = len(self._leaves.covers), len(self._leaves.covers) + len(done.ends)
        numbers = range(first := self._file.reserve(count), first + count)
        nodes = range(node := self._file.reserve(-(-count // KIDS)), node - (-count // KIDS))
        forms = {id(leaf): self._leaf(leaf) for leaf in (*self._leaves.covers, *self._leaves.tables)}
        for place, (leaf, content) in enumerate(self._contents(spool, done)):
            form, margins = forms[id(leaf)]
            words = b"".join(paint + self._margins.words(box, place + 1, count) for paint, box in margins)
            stream = self._file.stream(form + content + words)
            size = b"/MediaBox[0 0 %b %b]" % _points(leaf.width, leaf.height)
            page = b"<</Type/Page/Parent %d 0 R%b/Contents %d 0 R>>" % (nodes[place // KIDS], size, stream)
            self._file.write(page, numbers[place])
        self._end(numbers, nodes, self._bookmarks(done, covers, rows, before))
        return count

    def _leaf(self, leaf: Leaf) -> tuple[bytes, list[tuple[bytes, Any]]]:
        box = (0, 0, leaf.width * POINT, leaf.height * POINT)
        return self._forms.add(leaf.form, box), [(self._forms.add(each.form, box), each) for each in leaf.margins]

    def _contents(self, spool: BinaryIO, done: Plan) -> Iterator[tuple[Leaf, bytes]]:
        """Each page's kind and its rows."""
        for leaf in self._leaves.covers:
            yield leaf, b""
        row = -1
        for number, (sizes, text) in enumerate(pieces(spool, (end - start for start, end in _pairs(done.ends)))):
            leaf = self._leaves.tables[self._leaves.table(number)]
            first = row + (not sizes.more[0])
            row += sizes.more.count(0)
            yield leaf, self._rows(leaf, first, sizes, text)

    def _rows(self, leaf: Leaf, first: int, sizes: Sizes, text: list[bytes]) -> bytes:
        top = leaf.start or 0.0
        lead, trail = self._excess[0] if first == 0 and not sizes.more[0] else (0.0, 0.0)
        decor = self._decor.rows(first, sizes, self._sheet.spacing, lead + trail)
        if trail:
            head = text[0][: sizes.lengths[0]]
            text = [head, move(0, -trail * POINT), b"\n", text[0][len(head) :], *text[1:]]
        left, below = self._setter.origin
        start = move((left + leaf.shift) * POINT, (leaf.height - top - lead - below) * POINT)
        place = f"{plain(leaf.shift * POINT)} {plain((leaf.height - top) * POINT, EXACT)}"
        scale = f"{POINT} 0 0 -{POINT} {place} cm\n".encode()
        return b"".join([b"q ", scale, decor, b"Q\nq BT ", self._setter.start, b" ", start, b"\n", *text, b"ET Q\n"])

    # --- the end ---

    def _bookmarks(self, done: Plan, covers: int, rows: int, before: int) -> Iterator[Mark]:
        """The template's own bookmarks, and one for each section if the first row has one."""
        sample = section(0, rows, before)
        for level, label, page, x, y in self._marks:
            if not sample or label != sample:
                height = self._sheet.pages[page].margin_height()
                yield Mark(level, label, page, x * POINT, (height - y) * POINT)
                continue
            start = self._leaves.tables[0].start or 0.0
            for row, number, top in done.sections:
                leaf = self._leaves.tables[self._leaves.table(number)]
                place = (leaf.height - top - (y - start)) * POINT
                yield Mark(level, section(row, rows, before), covers + number, x * POINT, place)

    def _end(self, numbers: range, nodes: range, marks: Iterator[Mark]) -> None:
        file, forms = self._file, self._forms
        embedded = fonts.embed(file, self._sheet.inks)
        resources = self._sheet.inks.resources
        resources["XObject"].update({name: b"%d 0 R" % number for name, number in forms.numbers.items()})
        resources["Font"] = b"<<%b>>" % b"".join(
            f"/{name} ".encode() + reference for name, reference in embedded.items()
        )
        file.write(resources.data, forms.resources)
        light = {kind: found for kind, found in resources.items() if kind not in ("Font", "XObject")}
        file.write(pydyf.Dictionary(light).data, forms.plain)
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
    return tuple(plain(length * POINT).encode() for length in lengths)
