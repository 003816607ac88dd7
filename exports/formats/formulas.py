"""Text that a spreadsheet could take for a formula when it opens a CSV file, and how it is made harmless.

An apostrophe goes in front of a text that begins like a formula, as OWASP's page "CSV Injection" advises, with its
characters: = + - @, tab, CR, LF and the full-width forms. Leading spaces are skipped, because some spreadsheets trim
cells first.

A file may also be opened with another separator than its own: Excel takes the one of the computer's region, and
LibreOffice offers several at once. So `a;=1+1` in a file with commas becomes `a;'=1+1`. Quotes around the cell would
not help: they only count at the beginning of a cell. Inside a text, "=" is always guarded. "+", "-" and "@", which
only Excel takes for the beginning of a formula, are guarded when the rest of the line has a character that a call or a
link to another file needs: a list with dashes stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

SEPARATORS = ",;\t"
"""What spreadsheets take for a separator without being told."""
FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
SUSPECT = FORMULA | {" "}
FORMULA_SQL = r"E'^ *[=+@\\t\\r\\n＝＋－＠-]'"
"""The same as a regular expression."""
FIRST = ",".join(str(ord(letter)) for letter in sorted({"\0"} | SUSPECT))
"""Numbers of the letters that a text of interest begins with."""
CALL = r"[=＝]|[+\-@＋－＠](?=[^\r\n]*[(|!\[])"


def guarded_at_start(text: str) -> str:
    """`text`, with an apostrophe in front when it begins like a formula."""
    return "'" + text if text.lstrip(" ")[:1] in FORMULA else text


def guarded_at_start_sql(name: str) -> str:
    """`guarded_at_start` in SQL, NULL for "". The first letter's number, 0 for none, is enough for most texts."""
    formula = f'{name} COLLATE "C" ~ {FORMULA_SQL}'
    suspect = f"CASE WHEN ascii({name}) = 0 THEN NULL WHEN {formula} THEN '''' || {name} ELSE {name} END"
    return f"CASE WHEN ascii({name}) = ANY('{{{FIRST}}}') THEN {suspect} ELSE {name} END"


def foreign(delimiter: str) -> str:
    """The separators that a spreadsheet could take instead of `delimiter`."""
    return SEPARATORS.replace(delimiter, "")


@cache
def uncovered(delimiter: str) -> re.Pattern[str]:
    """Finds what another separator than `delimiter`, or a line break, would make the beginning of a formula."""
    return re.compile(rf'([{foreign(delimiter)}\r\n][ "]*)(?={CALL})')


def maybe_uncovered(delimiter: str) -> list[re.Pattern[bytes]]:
    """Finds what `uncovered` does, and more, in UTF-8: one pattern for each character, which is a search for a byte."""
    marks = [re.escape(mark.encode()) for mark in f"{foreign(delimiter)}\r\n"]
    return [re.compile(mark + rb'[ "]*[=+\-@\xef]') for mark in marks]


def guarded_inside(text: str, delimiter: str) -> str:
    """`text`, with an apostrophe in front of each formula inside of it."""
    return uncovered(delimiter).sub(r"\1'", text)


def guard(delimiter: str) -> Callable[[str], str]:
    """What makes a text of a file with this delimiter harmless, wherever a spreadsheet could see a formula in it."""

    found = uncovered(delimiter).search

    def guarded(text: str) -> str:
        if found(text):
            text = guarded_inside(text, delimiter)
        return guarded_at_start(text) if text[:1] in SUSPECT else text

    return guarded
