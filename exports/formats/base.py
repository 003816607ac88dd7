"""The contract of a format: rows go into a binary file, in parts where the format can be joined from parts."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, ClassVar
from zoneinfo import ZoneInfo

from django.utils.functional import Promise

from exports.datasets.base import Column

Row = tuple[Any, ...]
"""One value a column, as the database gave them: str, int, Decimal, bool, date, aware datetime (UTC), or None."""


@dataclass(frozen=True)
class RenderContext:
    """What a format may want to know beside the rows."""

    title: str
    owner: str
    period: str
    columns: Sequence[Column]
    zone: ZoneInfo
    """Date-times are written in this zone."""
    requested_at: datetime
    first: bool = True
    """This part begins the file: a format with a header writes it here."""


@dataclass(frozen=True)
class Written:
    """What one call wrote."""

    rows: int
    pages: int | None = None


class Format(ABC):
    """One kind of file. Subclasses name the class variables and write rows; the file is theirs until they return."""

    key: ClassVar[str]
    label: ClassVar[str | Promise]
    hint: ClassVar[str | Promise] = ""
    """A few words for the form: when to choose this one."""
    extension: ClassVar[str]
    content_type: ClassVar[str]
    splittable: ClassVar[bool] = False
    """True when files of parts, joined end to end by `assemble`, are the whole file."""

    @property
    def max_rows(self) -> int | None:
        """The most rows that this format takes; None for any number."""
        return None

    @abstractmethod
    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        """Write all `rows` to `out`, holding no more than a bounded number of them."""

    def assemble(self, parts: Iterable[BinaryIO], out: BinaryIO) -> None:
        """Join the parts' files, given in order, into `out`. Each is open until the next one is taken."""
        for part in parts:
            shutil.copyfileobj(part, out, 1 << 20)
