"""PDFs read back: words and their boxes by poppler, pixels by poppler, bookmarks by pypdf, soundness by qpdf.

All lengths are points, from the page's upper left corner.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from html import unescape
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple
from unicodedata import normalize

from PIL import Image, ImageChops
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

MIRRORED = str.maketrans(")]}>»›", "([{<«‹")
NEAR = 0.5
"""How far a word's box may lie from where it should."""
DPI = 144
"""Two pixels a point: one pixel is half a point."""
TINT = 6
"""Of 255: the least difference of a colour that counts. The lightest zebra is 10 darker than paper."""
STRAY_TINT, STRAY_INK = 0.005, 0.00005
"""The shares of a page's pixels that may differ at all (a third of a row), and by more than half of the contrast
around them (a short word): a rule that begins a hundredth of a point further has an edge of another grey."""

PAGE = re.compile(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', re.DOTALL)
WORD = re.compile(r'<word xMin="(.+?)" yMin="(.+?)" xMax="(.+?)" yMax="(.+?)">(.*?)</word>', re.DOTALL)


class Word(NamedTuple):
    text: str
    left: float
    top: float
    right: float
    bottom: float

    def near(self, other: Word) -> bool:
        return self.text == other.text and all(abs(a - b) <= NEAR for a, b in zip(self[1:], other[1:], strict=True))

    def __str__(self) -> str:
        return f"{self.text!r} at " + ", ".join(f"{side:.2f}" for side in self[1:])


@dataclass(frozen=True)
class Page:
    width: float
    height: float
    words: Sequence[Word]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def pages(data: bytes, order: str = "drawn") -> list[Page]:
    """Each page's words in the order they are `drawn` in, or in the order they are `read` in, line by line.

    Composed, because a glyph of a file stands for one text alone, be it "é" or "e" with its accent.
    """
    raw = ["-raw"] if order == "drawn" else []
    found = _run("pdftotext", "-bbox", *raw, "-", "-", data=data).decode()
    return [Page(float(width), float(height), list(_words(body))) for width, height, body in PAGE.findall(found)]


def _words(body: str) -> Iterator[Word]:
    for *sides, text in WORD.findall(body):
        left, top, right, bottom = map(float, sides)
        yield Word(normalize("NFC", unescape(text)), left, top, right, bottom)


def fonts(data: bytes) -> list[tuple[str, bool, bool]]:
    """Each font's name without its subset's tag, whether it is embedded, and whether its letters can be read back."""
    lines = _run("pdffonts", "-", data=data).decode().splitlines()[2:]
    cells = [line.rsplit(maxsplit=5) for line in lines]
    return [(row[0].split("+")[-1].split()[0], row[1] == "yes", row[3] == "yes") for row in cells]


def font_files(data: bytes) -> list[str]:
    """The name of each font program in the file, without its subset's tag."""
    reader = PdfReader(BytesIO(data))
    found = [reader.get_object(number) for number in range(1, int(str(reader.trailer["/Size"])))]
    used = {
        each.raw_get(key).idnum: str(each["/FontName"]).split("+")[-1]
        for each in found
        if isinstance(each, DictionaryObject)
        for key in ("/FontFile", "/FontFile2", "/FontFile3")
        if key in each
    }
    return list(used.values())


def complaints(data: bytes) -> str:
    """What qpdf finds wrong; "" when nothing is."""
    with _file(data) as path:
        done = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def bookmarks(data: bytes) -> list[tuple[int, str, int]]:
    """Level from 0, title and page from 1 of each bookmark, in order."""
    reader = PdfReader(BytesIO(data))
    return list(_marks(reader, reader.outline, 0))


def _marks(reader: PdfReader, outline: Iterable[Any], level: int) -> Iterator[tuple[int, str, int]]:
    for mark in outline:
        if isinstance(mark, list):
            yield from _marks(reader, mark, level + 1)
        else:
            yield level, str(mark.title), (reader.get_destination_page_number(mark) or 0) + 1


def pixels(data: bytes, numbers: Iterable[int]) -> list[Image.Image]:
    """The pages with these numbers, from 1, as pictures."""
    with _file(data) as path:
        return [_picture(path, number) for number in numbers]


def _picture(path: Path, number: int) -> Image.Image:
    only = ["-f", str(number), "-l", str(number)]
    return Image.open(BytesIO(_run("pdftoppm", "-r", str(DPI), *only, str(path)))).convert("RGB")


# --- differences ----------------------------------------------------------------------------------------------------


def differences(wanted: bytes, found: bytes) -> list[str]:
    """What tells two PDFs apart, a line each, at most a few a page; empty when they are the same pages.

    The same number and size of pages; on each the same words in the order they are drawn in, each box within NEAR of
    the other; the same bookmarks; and on the first and the last page pixels that agree within half a point.
    """
    pairs = list(zip_longest(map(_unmirrored, pages(wanted)), map(_unmirrored, pages(found))))
    if None in [page for pair in pairs for page in pair]:
        return [f"{len(pages(found))} pages instead of {len(pages(wanted))}"]
    lines = [f"page {number}: {line}" for number, pair in enumerate(pairs, 1) for line in _page(*pair)]
    if bookmarks(wanted) != bookmarks(found):
        lines.append(f"bookmarks {bookmarks(found)[:5]} instead of {bookmarks(wanted)[:5]}")
    return lines or drawn_differently(wanted, found, sorted({1, len(pairs)}))


def _unmirrored(page: Page) -> Page:
    """`page`, all of whose brackets open.

    One glyph stands for one text alone, so plain WeasyPrint reads ")" where "(" of a text from right to left, which is
    drawn as the same glyph, came first. How they look is compared in pixels.
    """
    words = [word._replace(text=word.text.translate(MIRRORED)) for word in page.words]
    return replace(page, words=words)


def _page(wanted: Page, found: Page) -> list[str]:
    lines = []
    if max(abs(wanted.width - found.width), abs(wanted.height - found.height)) > 0.01:
        lines.append(f"{found.width} x {found.height} instead of {wanted.width} x {wanted.height}")
    if [word.text for word in wanted.words] != [word.text for word in found.words]:
        lines.append(_first_other(wanted.words, found.words))
    else:
        pairs = zip(wanted.words, found.words, strict=True)
        lines += [f"{b}, instead of {a[1:]}" for a, b in pairs if not a.near(b)][:3]
    return lines


def _first_other(wanted: Sequence[Word], found: Sequence[Word]) -> str:
    pairs = zip_longest(wanted, found)
    number, pair = next((n, p) for n, p in enumerate(pairs) if not (p[0] and p[1] and p[0].text == p[1].text))
    same = sorted(word.text for word in wanted) == sorted(word.text for word in found)
    return f"{'another order' if same else 'other words'}: word {number} is {pair[1]}, instead of {pair[0]}"


def drawn_differently(wanted: bytes, found: bytes, numbers: Sequence[int]) -> list[str]:
    """The pages, of those with these numbers, on which pixels differ by more than half a point."""
    pictures = zip(numbers, pixels(wanted, numbers), pixels(found, numbers), strict=True)
    shares = [(number, *shares_apart(a, b)) for number, a, b in pictures]
    return [
        f"page {number}: {tint:.3%} of the pixels differ, {ink:.3%} much"
        for number, tint, ink in shares
        if tint > STRAY_TINT or ink > STRAY_INK
    ]


def shares_apart(a: Image.Image, b: Image.Image) -> tuple[float, float]:
    """The share of pixels of either picture that the other has not got within a pixel: at all, and nearly."""
    (darkest_a, lightest_a), (darkest_b, lightest_b) = _around(a), _around(b)
    beyond = _most(*_beyond(a, darkest_b, lightest_b), *_beyond(b, darkest_a, lightest_a))
    contrast = _most(ImageChops.subtract(lightest_a, darkest_a), ImageChops.subtract(lightest_b, darkest_b))
    much = ImageChops.subtract(beyond, contrast.point(lambda value: value * 11 // 20))
    return _share(beyond), _share(much)


def _share(apart: Image.Image) -> float:
    red, green, blue = apart.split()
    return sum(_most(red, green, blue).histogram()[TINT:]) / (apart.width * apart.height)


def _most(*pictures: Image.Image) -> Image.Image:
    return reduce(ImageChops.lighter, pictures)


def _beyond(picture: Image.Image, darkest: Image.Image, lightest: Image.Image) -> tuple[Image.Image, Image.Image]:
    """How far each pixel of `picture` is lighter, and darker, than these."""
    return ImageChops.subtract(picture, lightest), ImageChops.subtract(darkest, picture)


def _around(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Of each pixel's three by three the darkest and the lightest."""
    darkest = lightest = picture
    for x, y in ((1, 0), (0, 1)):
        darkest = reduce(ImageChops.darker, [ImageChops.offset(darkest, x * s, y * s) for s in (-1, 0, 1)])
        lightest = reduce(ImageChops.lighter, [ImageChops.offset(lightest, x * s, y * s) for s in (-1, 0, 1)])
    return darkest, lightest


# --- programs -------------------------------------------------------------------------------------------------------


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """`data` in a file, for programs that seek."""
    with NamedTemporaryFile(suffix=".pdf") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _run(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=120).stdout
