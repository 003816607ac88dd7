"""Base classes of formats: a format writes each part's rows as a body and assembles the bodies into a file."""

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
    """A setting of a format that users choose. `choices` are pairs of value and label; the first is the default."""

    name: str
    label: Text
    choices: Sequence[tuple[str, Text]]

    @property
    def default(self) -> str:
        return self.choices[0][0]


@dataclass(frozen=True)
class Share:
    """The position of a file among the files that a dataset was split into to fit the volumes of a bundle."""

    number: int
    """From 1 to `count`."""
    count: int
    before: int
    """Rows in the files before this one."""
    rows: int
    """Rows in all of the files."""
    metas: Sequence[Mapping[str, Any]] = ()
    """The `Written.meta` of each part, over all of the files."""


@dataclass(frozen=True)
class RenderContext:
    """Data that a format may need besides the rows. The language of the export is active."""

    title: str
    owner: str
    """The name of the user or the team whose data it is."""
    period: str
    columns: Sequence[Column]
    zone: ZoneInfo
    """Date-times are written in this zone."""
    requested_at: datetime
    name: str = "export"
    """The file's name without its extension."""
    filters: Sequence[tuple[str, str]] = ()
    """The chosen parameters of the dataset: label and value in words."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The chosen options; read them through `Format.option`, which fills in the defaults."""
    layout: Mapping[str, Any] = field(default_factory=dict)
    """The result of `Format.prepare`."""
    index: int = 0
    """The part's number, from 0."""
    before: int = 0
    """Rows of the parts before this one, as counted at planning. Rows may have been added or deleted since."""
    rows: int = 0
    """Rows of the whole file, once all parts are written."""
    share: Share | None = None
    """Set when the file is one of several."""
    beside: Callable[[str], BinaryIO] | None = None
    """Opens a side file with the given name, for data that the file itself cannot hold. The artifact is then a ZIP
    archive of all files.
    """


@dataclass(frozen=True)
class Written:
    """The result of `write` or `assemble`. `meta` is stored with the part for `assemble`: JSON, a few KB at most."""

    rows: int
    pages: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenPart:
    """A written part. Its body is open for reading, at its start, until the next part is taken."""

    file: BinaryIO
    rows: int
    meta: Mapping[str, Any] = field(default_factory=dict)


class Kind:
    """A kind of file that users can choose."""

    key: ClassVar[str]
    label: ClassVar[Text]
    hint: ClassVar[Text] = ""
    """A few words for the form: when to choose this kind."""
    extension: ClassVar[str]
    content_type: ClassVar[str]
    further_types: ClassVar[Mapping[str, str]] = {}
    """Content types of the other extensions that `extension_of` may give."""
    options: ClassVar[Sequence[Option]] = ()

    def extension_of(self, options: Mapping[str, str]) -> str:
        """Return the extension of a file with these options."""
        return self.extension

    def current(self, options: Mapping[str, str]) -> dict[str, str]:
        """Return the same options with names and values of an earlier version replaced by the current ones."""
        return dict(options)

    def option(self, name: str, context: RenderContext) -> str:
        """Return the chosen value of the option `name`, or its default."""
        default = next(option.default for option in self.options if option.name == name)
        return context.options.get(name, default)

    def refuse(self, columns: Sequence[Column]) -> None:
        """Raise a BadRequest if no file of this kind can hold these columns. Called when the export is requested."""


class Format(Kind, ABC):
    """A kind of file that holds the rows of one dataset. Subclasses write parts and join them."""

    rows_per_second: ClassVar[int] = 20_000
    """Rows of a dozen columns that one process writes per second. Used to plan parts until this site has measured."""
    bytes_per_row: ClassVar[int] = 150
    """Size of a row of a dozen columns in the file. Used for estimates until this site has measured."""
    wants_extremes: ClassVar[bool] = False
    """Whether the sample for `prepare` ends with the two rows of `Dataset.extremes`: the least and greatest numbers."""

    holds_objects: ClassVar[bool] = False
    """Whether a row may hold the objects of a nested column. If not, they become a table of their own."""

    def prepare(self, sample: Sequence[Row], context: RenderContext) -> Mapping[str, Any]:
        """Return what all parts must agree on, such as column widths, from a sample of the rows; JSON.

        Called once, while the export is planned. Every part receives the result as `context.layout`.
        """
        return {}

    @property
    def prepares(self) -> bool:
        """Whether the format overrides `prepare`. If not, no sample is read."""
        return type(self).prepare is not Format.prepare

    def about(self, context: RenderContext) -> Mapping[str, Any]:
        """Return what a program needs to read the file, for the manifest; JSON."""
        return {}

    def table(self, context: RenderContext) -> Mapping[str, Any]:
        """Return the `dialect` and `schema` of a Data Package for files that programs read as a table; JSON.

        The schema has a field for each value of a row, in order.
        """
        return {}

    @abstractmethod
    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        """Write the body of one part to `out`, holding only a bounded number of rows in memory.

        In a worker, `rows` is a RowStream: `values.batches` yields its rows in lists, and PostgreSQL can format them.
        """

    @abstractmethod
    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        """Write the whole file to `out`. `parts` can be iterated once, in order; any part may have no rows."""


class Framed(Format):
    """A format whose file is a head, the concatenated bodies of the parts, and a tail."""

    joins: ClassVar[bool] = False
    """Whether programs can read several files as one by concatenating them, without the heading lines of later ones."""
    between: ClassVar[bytes] = b""
    """Separator between two bodies that have rows."""

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
