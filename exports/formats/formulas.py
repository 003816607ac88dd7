"""Protection against formula injection: guards text in a CSV file that a spreadsheet could interpret as a formula.

Text that begins like a formula gets a leading apostrophe, as OWASP's page "CSV Injection" advises. The characters are
those of that page: = + - @, tab, CR, LF and the full-width forms. Leading spaces are skipped, because some spreadsheets
trim cells first.

A spreadsheet may also open a file with a separator other than the file's own: Excel uses that of the computer's region,
and LibreOffice offers several at once. So `a;=1+1` in a file with commas becomes `a;'=1+1`. Quoting the cell would not
help, because quotes only count at the beginning of a cell. Inside a text, "=" is always guarded. "+", "-" and "@" start
a formula only in Excel. They are guarded if the rest of the line has a character that a call or a link to another file
needs, so a list with dashes stays unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

SEPARATORS = ",;\t"
"""Characters that spreadsheets treat as separators by default."""
FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
SUSPECT = FORMULA | {" "}
FORMULA_SQL = r"E'^ *[=+@\\t\\r\\n＝＋－＠-]'"
"""A PostgreSQL regular expression for text that begins like a formula."""
FIRST = ",".join(str(ord(letter)) for letter in sorted({"\0"} | SUSPECT))
"""Code points of the first characters that need a closer look, as `ascii` returns them; 0 for an empty text."""
CALL = r"[=＝]|[+\-@＋－＠](?=[^\r\n]*[(|!\[])"


def guarded_at_start(text: str) -> str:
    """Return `text`, with a leading apostrophe if it begins like a formula."""
    return "'" + text if text.lstrip(" ")[:1] in FORMULA else text


def guarded_at_start_sql(name: str) -> str:
    """Return SQL for `guarded_at_start`, and NULL for "". For most texts, checking the first code point is enough."""
    formula = f'{name} COLLATE "C" ~ {FORMULA_SQL}'
    suspect = f"CASE WHEN ascii({name}) = 0 THEN NULL WHEN {formula} THEN '''' || {name} ELSE {name} END"
    return f"CASE WHEN ascii({name}) = ANY('{{{FIRST}}}') THEN {suspect} ELSE {name} END"


def foreign(delimiter: str) -> str:
    """Return the separators that a spreadsheet could use instead of `delimiter`."""
    return SEPARATORS.replace(delimiter, "")


@cache
def uncovered(delimiter: str) -> re.Pattern[str]:
    """Return a pattern for the line breaks and separators other than `delimiter` that a possible formula follows."""
    return re.compile(rf'([{foreign(delimiter)}\r\n][ "]*)(?={CALL})')


def maybe_uncovered(delimiter: str) -> list[re.Pattern[bytes]]:
    """Return patterns that find, in UTF-8, everything that `uncovered` finds, and more. There is one pattern for each
    character, so that each search is a fast search for a byte.
    """
    marks = [re.escape(mark.encode()) for mark in f"{foreign(delimiter)}\r\n"]
    return [re.compile(mark + rb'[ "]*[=+\-@\xef]') for mark in marks]


def guarded_inside(text: str, delimiter: str) -> str:
    """Return `text` with an apostrophe before each possible formula inside it."""
    return uncovered(delimiter).sub(r"\1'", text)


def guard(delimiter: str) -> Callable[[str], str]:
    """Return a function that guards a text, at its start and inside, for a file with this delimiter."""

    found = uncovered(delimiter).search

    def guarded(text: str) -> str:
        if found(text):
            text = guarded_inside(text, delimiter)
        return guarded_at_start(text) if text[:1] in SUSPECT else text

    return guarded
