"""Reading PDFs in tests: words and pixels with poppler, bookmarks with pypdf, validity with qpdf.

All lengths are points from the upper left corner of the page.
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
"""Maximum distance of a word's box from its expected position."""
DPI = 144
"""Two pixels per point: one pixel is half a point."""
TINT = 6
"""Smallest color difference, of 255, that counts. The lightest stripe is 10 darker than the paper."""
STRAY_TINT, STRAY_INK = 0.005, 0.00005
"""Maximum shares of a page's pixels that differ at all (a third of a row), and by more than half of the contrast
around them (a short word). A rule that starts a hundredth of a point further has an edge of another gray."""

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
    """Return the words of each page in drawing order ("drawn"), or line by line ("read").

    Texts are NFC, because a glyph in a file stands for one text only, either "é" or "e" with a combining accent.
    """
    raw = ["-raw"] if order == "drawn" else []
    found = _run("pdftotext", "-bbox", *raw, "-", "-", data=data).decode()
    return [Page(float(width), float(height), list(_words(body))) for width, height, body in PAGE.findall(found)]


def _words(body: str) -> Iterator[Word]:
    for *sides, text in WORD.findall(body):
        left, top, right, bottom = map(float, sides)
        yield Word(normalize("NFC", unescape(text)), left, top, right, bottom)


def fonts(data: bytes) -> list[tuple[str, bool, bool]]:
    """Return for each font its name without subset tag, whether it is embedded, and whether it maps to Unicode."""
    lines = _run("pdffonts", "-", data=data).decode().splitlines()[2:]
    cells = [line.rsplit(maxsplit=5) for line in lines]
    return [(row[0].split("+")[-1].split()[0], row[1] == "yes", row[3] == "yes") for row in cells]


def font_files(data: bytes) -> list[str]:
    """Return the name of each font program in the file, without subset tag."""
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


def qpdf_errors(data: bytes) -> str:
    """Return the problems that qpdf finds; "" if the file is valid."""
    with _file(data) as path:
        done = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def bookmarks(data: bytes) -> list[tuple[int, str, int]]:
    """Return level (from 0), title and page (from 1) of each bookmark, in order."""
    reader = PdfReader(BytesIO(data))
    return list(_marks(reader, reader.outline, 0))


def _marks(reader: PdfReader, outline: Iterable[Any], level: int) -> Iterator[tuple[int, str, int]]:
    for mark in outline:
        if isinstance(mark, list):
            yield from _marks(reader, mark, level + 1)
        else:
            yield level, str(mark.title), (reader.get_destination_page_number(mark) or 0) + 1


def pixels(data: bytes, numbers: Iterable[int]) -> list[Image.Image]:
    """Return images of the pages with these numbers (from 1)."""
    with _file(data) as path:
        return [_picture(path, number) for number in numbers]


def _picture(path: Path, number: int) -> Image.Image:
    only = ["-f", str(number), "-l", str(number)]
    return Image.open(BytesIO(_run("pdftoppm", "-r", str(DPI), *only, str(path)))).convert("RGB")


# --- differences ----------------------------------------------------------------------------------------------------


def differences(wanted: bytes, found: bytes) -> list[str]:
    """Return the differences between two PDFs, one per line and at most a few per page; empty if the pages are equal.

    Equal PDFs have the same number and size of pages. Each page has the same words in the same drawing order, with
    boxes within NEAR of each other. The bookmarks are equal, and the pixels of the first and last page agree within
    half a point.
    """
    pairs = list(zip_longest(map(_unmirrored, pages(wanted)), map(_unmirrored, pages(found))))
    if None in [page for pair in pairs for page in pair]:
        return [f"{len(pages(found))} pages instead of {len(pages(wanted))}"]
    lines = [f"page {number}: {line}" for number, pair in enumerate(pairs, 1) for line in _page(*pair)]
    if bookmarks(wanted) != bookmarks(found):
        lines.append(f"bookmarks {bookmarks(found)[:5]} instead of {bookmarks(wanted)[:5]}")
    return lines or drawn_differently(wanted, found, sorted({1, len(pairs)}))


def _unmirrored(page: Page) -> Page:
    """Return `page` with all closing brackets replaced by opening ones.

    A glyph stands for one text only. WeasyPrint maps it to the first one, so ")" is extracted as "(" if right-to-left
    text with the same glyph came first. The comparison of pixels covers the appearance of brackets.
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
    """Return a line for each of the pages `numbers` on which pixels differ by more than half a point."""
    pictures = zip(numbers, pixels(wanted, numbers), pixels(found, numbers), strict=True)
    shares = [(number, *shares_apart(a, b)) for number, a, b in pictures]
    return [
        f"page {number}: {tint:.3%} of the pixels differ, {ink:.3%} much"
        for number, tint, ink in shares
        if tint > STRAY_TINT or ink > STRAY_INK
    ]


def shares_apart(a: Image.Image, b: Image.Image) -> tuple[float, float]:
    """Return the shares of pixels that differ at all, and by much, from all pixels next to them in the other image."""
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
    """Return how much each pixel of `picture` is lighter than `lightest`, and darker than `darkest`."""
    return ImageChops.subtract(picture, lightest), ImageChops.subtract(darkest, picture)


def _around(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the darkest and lightest values in the 3x3 neighborhood of each pixel."""
    darkest = lightest = picture
    for x, y in ((1, 0), (0, 1)):
        darkest = reduce(ImageChops.darker, [ImageChops.offset(darkest, x * s, y * s) for s in (-1, 0, 1)])
        lightest = reduce(ImageChops.lighter, [ImageChops.offset(lightest, x * s, y * s) for s in (-1, 0, 1)])
    return darkest, lightest


# --- programs -------------------------------------------------------------------------------------------------------


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    """Write `data` to a temporary file, for programs that seek."""
    with NamedTemporaryFile(suffix=".pdf") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _run(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=120).stdout
