"""Fonts of a file: recording and merging the glyphs that the parts use, and embedding the fonts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from exports.errors import FormatFailed
from exports.formats.pdf.file import File
from exports.formats.pdf.internals import ONE_BYTE, Assets, Face, Shaper

CODES = """/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo 3 dict dup begin /Registry (Adobe) def /Ordering ({ordering}) def /Supplement 0 def end def
/CMapName /{name} def
/CMapType {kind} def
1 begincodespacerange
<00> <ff>
endcodespacerange
{codes}
endcmap
CMapName currentdict /CMap defineresource pop
end
end"""
ORDER = b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"


def usage(assets: Assets, missing: Iterable[str]) -> dict[str, Any]:
    """Return the fonts and glyphs used by a part, as JSON. `missing` lists characters without a glyph in text order."""
    for face in assets.fonts.values():
        box = next((face.missing[ord(letter)] for letter in missing if ord(letter) in face.missing), None)
        if box in face.widths:
            face.widths[0] = face.widths[box]  # WeasyPrint gives all missing-glyph boxes the width of the first
    return {
        face.hash: {
            "sample": face.sample,
            "text": {str(glyph): text for glyph, text in face.to_unicode.items()},
            "widths": {str(glyph): face.widths[glyph] for glyph in (0, *face.to_unicode) if glyph in face.widths},
            "missing": {str(code): glyph for code, glyph in face.missing.items()},
        }
        for face in assets.fonts.values()
        if face.to_unicode
    }


def merge(parts: Iterable[Mapping[str, Any]], assets: Assets, shaper: Callable[[int], Shaper]) -> None:
    """Merge the fonts and glyphs used by all parts into `assets`."""
    for part in parts:
        for name, face in part.items():
            _add(_face(name, face["sample"], assets, shaper), face)


def _face(name: str, sample: tuple[int, str], assets: Assets, shaper: Callable[[int], Shaper]) -> Face:
    """Return the font with this hash, loaded by shaping the sample text if necessary.

    Raises FormatFailed if the sample text leads to other fonts.
    """
    number, text = sample
    found = {face.hash: face for face in assets.fonts.values()}
    if name not in found:
        list(shaper(number).lines(text, None))
        found = {face.hash: face for face in assets.fonts.values()}
    if name not in found:
        raise FormatFailed
    return found[name]


def _add(face: Face, part: Mapping[str, Any]) -> None:
    for glyph, text in part["text"].items():
        face.to_unicode[int(glyph)] = text
    for glyph, width in part["widths"].items():
        face.widths.setdefault(int(glyph), width)
    for code, glyph in part["missing"].items():
        face.missing.setdefault(int(code), glyph)


def embed(file: File, assets: Assets) -> dict[str, bytes]:
    """Write the fonts with their used glyphs. Return a reference for each font name in operators."""
    assets.sort()
    for face in assets.fonts.values():
        own = {glyph: letter for letter, glyph in face.latin.items() if letter.isascii()}
        face.to_unicode = dict(sorted((face.to_unicode | own).items()))  # right-to-left runs mirror brackets
    fonts = assets.add_to(file)
    latin = {face.hash: face for face in assets.fonts.values() if face.latin}
    return fonts | {name + ONE_BYTE: _latin(file, face, file.pydyf_object(fonts[name])) for name, face in latin.items()}


def _latin(file: File, face: Face, font: Any) -> bytes:
    """Write a variant of `font` with Latin-1 codes instead of glyph numbers, and return its reference."""
    known = {letter: glyph for letter, glyph in face.latin.items() if glyph in face.to_unicode}
    numbers = [f"<{ord(letter):02x}> {glyph}" for letter, glyph in known.items()]
    glyphs = CODES.format(ordering="Identity", name="Latin", kind=1, codes=_lists("cidchar", numbers))
    texts = [f"<{ord(letter):02x}> <{ord(letter):04x}>" for letter in known]
    unicode = CODES.format(ordering="UCS", name="Adobe-Identity-UCS", kind=2, codes=_lists("bfchar", texts))
    encoding = file.stream(glyphs.encode(), b"/Type/CMap/CMapName/Latin" + ORDER)
    words = file.stream(unicode.encode())
    body = b"<</Type/Font/Subtype/Type0/BaseFont%b/Encoding %d 0 R/ToUnicode %d 0 R/DescendantFonts%b>>"
    return b"%d 0 R" % file.write(body % (font["BaseFont"], encoding, words, font["DescendantFonts"].data))


def _lists(kind: str, items: list[str]) -> str:
    """Return the entries of a CMap in lists of at most 100."""
    parts = [items[at : at + 100] for at in range(0, len(items), 100)]
    return "\n".join("\n".join([f"{len(part)} begin{kind}", *part, f"end{kind}"]) for part in parts)
