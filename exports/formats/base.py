"""The contract of a format: a part's rows become a body, and the bodies of all parts a file."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, ClassVar
from zoneinfo import ZoneInfo

from django.utils.functional import Promise

from exports.datasets import Column, Row

Text = str | Promise


@dataclass(frozen=True)
class Option:
    """A choice that a format leaves to the person: its values with their words, of which the first is usual."""

    name: str
    label: Text
    choices: Sequence[tuple[str, Text]]

    @property
    def default(self) -> str:
        return self.choices[0][0]


@dataclass(frozen=True)
class Share:
    """Which one this is of the files that one was cut into, because it is larger than a volume of its bundle."""

    number: int
    """From 1 to `count`."""
    count: int
    before: int
    """Rows in the files before it."""
    rows: int
    """Rows in all of the files."""
    metas: Sequence[Mapping[str, Any]] = ()
    """What `Format.write` kept with each part of all of the files."""


@dataclass(frozen=True)
class RenderContext:
    """What a format may want to know beside the rows. The language of the export is the active one."""

    title: str
    owner: str
    period: str
    columns: Sequence[Column]
    zone: ZoneInfo
    """Date-times are written in this zone."""
    requested_at: datetime
    name: str = "export"
    """The file's name without its extension."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What was chosen; read it through `Format.option`, which knows the defaults."""
    layout: Mapping[str, Any] = field(default_factory=dict)
    """What `Format.prepare` found out."""
    index: int = 0
    """The part's number, from 0."""
    before: int = 0
    """Rows of the parts before this one, as they were counted at planning; some may be gone or more since."""
    rows: int = 0
    """Rows of the whole file, once all parts are written."""
    share: Share | None = None
    """Set when the file is one of several."""
    beside: Callable[[str], BinaryIO] | None = None
    """Opens a file of that name for what the file itself cannot hold; the artifact is then a ZIP of all of them."""


@dataclass(frozen=True)
class Written:
    """What one call wrote. `meta` is kept with the part for `assemble`: JSON, a few KB at most."""

    rows: int
    pages: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenPart:
    """A written part: its body, open for reading at the start until the next part is taken."""

    file: BinaryIO
    rows: int
    meta: Mapping[str, Any] = field(default_factory=dict)


class Kind:
    """One kind of file that a person can choose."""

    key: ClassVar[str]
    label: ClassVar[Text]
    hint: ClassVar[Text] = ""
    """A few words for the form: when to choose this one."""
    extension: ClassVar[str]
    content_type: ClassVar[str]
    further_types: ClassVar[Mapping[str, str]] = {}
    """Content types of the other extensions that `extension_of` may give."""
    options: ClassVar[Sequence[Option]] = ()

    def extension_of(self, options: Mapping[str, str]) -> str:
        """The extension of a file with these options."""
        return self.extension

    def current(self, options: Mapping[str, str]) -> dict[str, str]:
        """The same choice in today's options, for names and values of an earlier version."""
        return dict(options)

    def option(self, name: str, context: RenderContext) -> str:
        """What was chosen for the option `name`, or its default."""
        default = next(option.default for option in self.options if option.name == name)
        return context.options.get(name, default)

    def refuse(self, columns: Sequence[Column]) -> None:
        """Raise a BadRequest when no file of this kind can hold these columns. Asked at the click."""


class Format(Kind, ABC):
    """A kind of file that holds the rows of one dataset. Subclasses write parts and join them."""

    rows_per_second: ClassVar[int] = 20_000
    """How fast one process writes rows of a dozen columns: what parts are planned by until this site has measured."""
    bytes_per_row: ClassVar[int] = 150
    """What a row of a dozen columns takes in the file, for estimates until this site has measured."""
    wants_extremes: ClassVar[bool] = False
    """Whether the sample for `prepare` ends with the least and the greatest numbers, two rows of `Dataset.extremes`."""

    def prepare(self, sample: Sequence[Row], context: RenderContext) -> Mapping[str, Any]:
        """What all parts must agree on, such as the columns' widths, from a sample of the rows; JSON.

        Called once, while the export is planned; every part finds it in `context.layout`.
        """
        return {}

    @property
    def prepares(self) -> bool:
        """Whether `prepare` does anything; else no sample is read."""
        return type(self).prepare is not Format.prepare

    def about(self, context: RenderContext) -> Mapping[str, Any]:
        """What a program must know to read the file, for the manifest; JSON."""
        return {}

    @abstractmethod
    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        """Write the body of one part to `out`, holding no more than a bounded number of rows.

        In a worker `rows` is a Source: `values.batches` takes its rows in lists, and PostgreSQL can format them itself.
        """

    @abstractmethod
    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        """Make the whole file of the parts, given once and in order, any of which may have no rows."""


class Framed(Format):
    """A format whose file is a head, the parts' bodies one after the other, and a tail."""

    between: ClassVar[bytes] = b""
    """What stands between two bodies that have rows."""

    def head(self, context: RenderContext) -> bytes:
        return b""

    def tail(self, context: RenderContext) -> bytes:
        return b""

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        out.write(self.head(context))
        rows = 0
        for part in parts:
            if rows and part.rows:
                out.write(self.between)
            shutil.copyfileobj(part.file, out, 1 << 20)
            rows += part.rows
        out.write(self.tail(context))
        return Written(rows)
