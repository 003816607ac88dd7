"""HTML of a table, rendered from the template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.formats import number_format
from django.utils.translation import get_language, get_language_bidi, gettext

from exports.datasets import Column, ColumnType
from exports.formats.base import RenderContext
from exports.formats.pdf.localize import Totals, clean, directed, moment
from exports.formats.pdf.widths import SHEETS, column_widths

SECTION = 1_000
"""Rows per bookmark."""
SHOWN = 20
"""Maximum number of undrawable characters that are named."""
OTHERS = ""
"""Key for the undrawable characters that are counted but not named."""


class TemplateRow(tuple[tuple[str, bool], ...]):
    """A row in the template: (text, numeric) for each cell."""

    section = ""
    """Title of the bookmark at this row if it starts a section, else empty."""


class Sample(list[TemplateRow]):
    """Sample rows for the layout. A template may loop over them once and must not use them otherwise."""

    lengths = loops = 0

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        self.lengths += 1
        return super().__len__()

    def __iter__(self) -> Iterator[TemplateRow]:
        self.loops += 1
        return super().__iter__()

    def __getitem__(self, place: Any) -> Any:
        self.lengths += 1
        return super().__getitem__(place)

    @property
    def looped_once(self) -> bool:
        """Whether the rows were used for one loop and nothing else. The loop itself reads the length once."""
        return (self.lengths, self.loops) == (1, 1)


def layout(columns: Sequence[Column], texts: Sequence[Sequence[str]], paper: str) -> dict[str, Any]:
    """Return the paper, its orientation, and the column widths in percent of the table, computed from sample texts."""
    upright, sideways = SHEETS[paper]
    labels = [clean(str(column.label)) for column in columns]
    widths = column_widths(labels, texts, sideways, [column.type for column in columns])
    full = sum(widths)
    return {
        "paper": paper,
        "landscape": full > upright,
        "widths": [f"{100 * width / full:.2f}" for width in widths],
    }


def render(template: str, context: RenderContext, lines: Iterable[TemplateRow], **more: Any) -> str:
    """Return the document as HTML. `more` contains count, totals, notes, and share if the export has several files."""
    write = directed if get_language_bidi() else clean
    columns = [
        {"label": write(str(column.label)), "numeric": right_aligned(column), "width": width}
        for column, width in zip(context.columns, context.layout["widths"], strict=True)
    ]
    values = {
        "language": get_language() or "en",
        "direction": "rtl" if get_language_bidi() else "ltr",
        "title": write(context.title),
        "owner": write(context.owner),
        "period": write(context.period),
        "filters": [(write(label), write(words)) for label, words in context.filters],
        "requested": moment(context.requested_at, context.zone),
        "created": context.requested_at.isoformat(timespec="seconds"),
        "paper": context.layout["paper"],
        "landscape": context.layout["landscape"],
        "columns": columns,
        "rows": lines if isinstance(lines, Sample) else list(lines),
        **more,
    }
    return str(render_to_string(template, values))


def right_aligned(column: Column) -> bool:
    """Return whether the cells of `column` are right-aligned."""
    return column.type.numeric or column.type is ColumnType.DURATION


def cells(texts: Sequence[Sequence[str]], numeric: Sequence[bool], count: int) -> Iterable[TemplateRow]:
    """Yield the rows for the template from the texts of each column."""
    for place, line in enumerate(zip(*texts, strict=True)):
        row = TemplateRow(zip(line, numeric, strict=True))
        row.section = section(place, count) if place % SECTION == 0 else ""
        yield row


def section(first: int, count: int, before: int = 0) -> str:
    """Return the title of the bookmark at the row `first` (from 0); empty if all rows are one section.

    `before` is the number of rows in the preceding files if the export has several.
    """
    if count <= SECTION:
        return ""
    last = min(first + SECTION, count)
    return gettext("Rows %(first)s–%(last)s") % {"first": _count(before + first + 1), "last": _count(before + last)}


def share(context: RenderContext, count: int) -> dict[str, Any] | None:
    """Return the template context of a file with `count` rows that is one of several; None for a single file."""
    share = context.share
    if share is None:
        return None
    write = directed if get_language_bidi() else clean
    rows = {"first": _count(share.before + 1), "last": _count(share.before + count), "rows": _count(share.rows)}
    text = gettext("%(first)s–%(last)s of %(rows)s") if count else gettext("none of %(rows)s")
    totals = Totals(context.columns)
    totals.merge(meta.get("totals", {}) for meta in share.metas)
    return {
        "number": share.number,
        "count": share.count,
        "name": write(gettext("part %(number)s of %(count)s") % {"number": share.number, "count": share.count}),
        "rows": write(text % rows),
        "totals": totals.words(context.columns),
    }


def notes(missing: Mapping[str, int]) -> list[str]:
    """Return the notes above the table: which characters no installed font can draw, and how often they occur."""
    if not missing:
        return []
    letters = sorted(set(missing) - {OTHERS})
    named = ", ".join(f"U+{ord(letter):04X}" for letter in letters[:SHOWN])
    words = gettext("%(count)s characters could not be drawn, because no installed font has them: %(letters)s")
    return [words % {"count": _count(sum(missing.values())), "letters": named + (" …" if len(letters) > SHOWN else "")}]


def missing_summary(missing: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of the first characters of `missing`, as many as `notes` needs, and of all others as OTHERS.

    The first characters of a whole file are among the first of its parts, so the note does not depend on the parts.
    """
    first = sorted(set(missing) - {OTHERS})[: SHOWN + 1]
    others = sum(missing.values()) - sum(missing[letter] for letter in first)
    return {letter: missing[letter] for letter in first} | ({OTHERS: others} if others else {})


def _count(number: int) -> str:
    return str(number_format(number, force_grouping=True))
