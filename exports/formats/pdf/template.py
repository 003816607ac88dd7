"""A table's HTML: the template with what it says above the rows, and the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.formats import number_format
from django.utils.translation import get_language, get_language_bidi, gettext

from exports.datasets import Column, ColumnType
from exports.formats.base import RenderContext
from exports.formats.pdf.localize import Totals, clean, directed, moment
from exports.formats.pdf.widths import SHEETS, shares

SECTION = 1_000
"""Rows that a bookmark stands for."""
SHOWN = 20
"""Letters without a font that are named."""
OTHERS = ""
"""Stands for the letters without a font that are counted and not named."""


class Cells(tuple[tuple[str, bool], ...]):
    """A row for the template: (text, numeric) of each cell."""

    section = ""
    """What the bookmark at this row says, if it begins a section."""


class Sample(list[Cells]):
    """Rows that only show how rows look: a template may go through them, and nothing else."""

    lengths = loops = 0

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        self.lengths += 1
        return super().__len__()

    def __iter__(self) -> Iterator[Cells]:
        self.loops += 1
        return super().__iter__()

    def __getitem__(self, place: Any) -> Any:
        self.lengths += 1
        return super().__getitem__(place)

    @property
    def shown(self) -> bool:
        """One loop has been made, which asks for the length itself, and that is all."""
        return (self.lengths, self.loops) == (1, 1)


def layout(columns: Sequence[Column], texts: Sequence[Sequence[str]], paper: str) -> dict[str, Any]:
    """The columns' widths in hundredths of the table, and the sheet, from the columns' first texts."""
    upright, sideways = SHEETS[paper]
    labels = [clean(str(column.label)) for column in columns]
    widths = shares(labels, texts, sideways, [column.type for column in columns])
    full = sum(widths)
    return {
        "paper": paper,
        "landscape": full > upright,
        "widths": [f"{100 * width / full:.2f}" for width in widths],
    }


def render(template: str, context: RenderContext, lines: Iterable[Cells], **more: Any) -> str:
    """The document; `more` are count, totals, notes, and share when the file is one of several."""
    write = directed if get_language_bidi() else clean
    columns = [
        {"label": write(str(column.label)), "numeric": aligned(column), "width": width}
        for column, width in zip(context.columns, context.layout["widths"], strict=True)
    ]
    values = {
        "language": get_language() or "en",
        "direction": "rtl" if get_language_bidi() else "ltr",
        "title": write(context.title),
        "owner": write(context.owner),
        "period": write(context.period),
        "requested": moment(context.requested_at, context.zone),
        "created": context.requested_at.isoformat(timespec="seconds"),
        "paper": context.layout["paper"],
        "landscape": context.layout["landscape"],
        "columns": columns,
        "rows": lines if isinstance(lines, Sample) else list(lines),
        **more,
    }
    return str(render_to_string(template, values))


def aligned(column: Column) -> bool:
    """Whether its cells stand at the right, digit under digit."""
    return column.type.numeric or column.type is ColumnType.DURATION


def cells(texts: Sequence[Sequence[str]], numeric: Sequence[bool], count: int) -> Iterable[Cells]:
    """All rows for the template from the columns' texts."""
    for place, line in enumerate(zip(*texts, strict=True)):
        row = Cells(zip(line, numeric, strict=True))
        row.section = section(place, count) if place % SECTION == 0 else ""
        yield row


def section(first: int, count: int, before: int = 0) -> str:
    """What the bookmark at the row `first` (from 0) says; nothing when all rows are one section.

    `before` is the number of rows in the files before this one, when it is one of several.
    """
    if count <= SECTION:
        return ""
    last = min(first + SECTION, count)
    return gettext("Rows %(first)s–%(last)s") % {"first": _count(before + first + 1), "last": _count(before + last)}


def share(context: RenderContext, count: int) -> dict[str, Any] | None:
    """What a file says of itself when it is one of several; `count` are its own rows. None for a whole one."""
    share = context.share
    if share is None:
        return None
    write = directed if get_language_bidi() else clean
    rows = {"first": _count(share.before + 1), "last": _count(share.before + count), "rows": _count(share.rows)}
    said = gettext("%(first)s–%(last)s of %(rows)s") if count else gettext("none of %(rows)s")
    totals = Totals(context.columns)
    totals.merge(meta.get("totals", {}) for meta in share.metas)
    return {
        "number": share.number,
        "count": share.count,
        "name": write(gettext("part %(number)s of %(count)s") % {"number": share.number, "count": share.count}),
        "rows": write(said % rows),
        "totals": totals.words(context.columns),
    }


def notes(missing: Mapping[str, int]) -> list[str]:
    """What the reader must know: which letters no font here can draw, and how often they stand in the table."""
    if not missing:
        return []
    letters = sorted(set(missing) - {OTHERS})
    named = ", ".join(f"U+{ord(letter):04X}" for letter in letters[:SHOWN])
    words = gettext("%(count)s characters could not be drawn, because no font here has them: %(letters)s")
    return [words % {"count": _count(sum(missing.values())), "letters": named + (" …" if len(letters) > SHOWN else "")}]


def named(missing: Mapping[str, int]) -> dict[str, int]:
    """The first letters of `missing`, as many as `notes` needs, and how often all others stand in the rows as OTHERS.

    The first letters of a whole file are among the first of its parts, so the note is the same for any parts.
    """
    first = sorted(set(missing) - {OTHERS})[: SHOWN + 1]
    others = sum(missing.values()) - sum(missing[letter] for letter in first)
    return {letter: missing[letter] for letter in first} | ({OTHERS: others} if others else {})


def _count(number: int) -> str:
    return str(number_format(number, force_grouping=True))
