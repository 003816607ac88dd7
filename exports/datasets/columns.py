"""Columns: the names, types and sources of a dataset's values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.db.models import CharField, Choices, F, QuerySet, Value
from django.db.models.expressions import Combinable
from django.utils.choices import flatten_choices, normalize_choices
from django.utils.functional import Promise
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _

from exports.datasets.texts import as_text

Text = str | Promise
Choosable = type[Choices] | Mapping[Any, Any] | Iterable[tuple[Any, Any]] | Callable[[], Any]
"""The `choices` that Django accepts for a field: pairs, grouped or not, a mapping, an enumeration, a callable."""

CODE = re.compile("[A-Z]{3}")
"""A currency of ISO 4217."""
BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The places where a new word begins in a name such as OrderLines or HTMLPages."""


class ColumnType(Enum):
    """The type of a column's values. Every value may also be None."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    MONEY = "money"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    DURATION = "duration"
    NULL = "null"
    JSON = "json"
    LIST = "list"
    UUID = "uuid"
    IP = "ip"
    BINARY = "binary"
    URL = "url"
    EMAIL = "email"
    FILE = "file"
    NESTED = "nested"
    """A list of objects for each row: see `exports.datasets.nested`."""

    @property
    def numeric(self) -> bool:
        return self in (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.FLOAT, ColumnType.MONEY)

    @property
    def linked(self) -> bool:
        """Whether workbooks and PDFs make a link of the value."""
        return self in (ColumnType.URL, ColumnType.EMAIL)


@dataclass(frozen=True)
class Column:
    """One column: its key, heading, type and source.

    Without a `label`, the dataset takes the label, the type (unless it is given) and the choices from the model field
    (`exports.datasets.inferred`). With a label, the type is TEXT unless it is given.
    `source` is a field, a path across relations or an expression (default: the field with the column's name).
    `function` takes the row's model instance instead and returns the value. It is slower, for what SQL cannot express.
    A MONEY column sets `currency`: an ISO 4217 code, an F() or another expression. Its rows hold amount and currency.
    The rows of a CHOICE column hold the stored value. `choices` holds the labels, as for a model field; None has none.
    `total` adds the column's sum to summaries.
    """

    name: str
    label: Text = ""
    type: ColumnType = None  # type: ignore[assignment]  # TEXT; None means that it may be inferred
    source: str | Combinable | None = None
    currency: str | Combinable | None = None
    choices: Choosable | None = None
    function: Callable[[Any], Any] | None = None
    total: bool = False
    infers: frozenset[str] = field(init=False, default=frozenset(), repr=False, compare=False)
    """What the dataset still has to take from the model field: "label", and "type"."""

    def __post_init__(self) -> None:
        if self.type is ColumnType.NESTED and type(self) is Column:
            raise TypeError(f"The column {self.name!r} has no columns of its own: use Nested({self.name!r}, [...]).")
        given: ColumnType | None = self.type
        if isinstance(self.label, str) and not self.label:  # a lazy text must not be translated yet
            object.__setattr__(self, "infers", frozenset({"label"} if given else {"label", "type"}))
            object.__setattr__(self, "label", heading_of(self.name))
        object.__setattr__(self, "type", given or ColumnType.TEXT)
        if isinstance(self.choices, Iterator):  # it can be read only once, but each file needs it
            object.__setattr__(self, "choices", tuple(self.choices))

    @property
    def expression(self) -> Combinable:
        """The expression to select; a NULL value for NULL columns and functions."""
        if self.type is ColumnType.NULL or self.function is not None:
            return Value(None, output_field=CharField())
        source = self.source or self.name
        return F(source) if isinstance(source, str) else source

    @property
    def slots(self) -> tuple[Column, ...]:
        """The plain columns, one for each value of a row: two for MONEY, otherwise the column itself."""
        if self.type is not ColumnType.MONEY:
            return (self,)
        code = Value(self.currency) if isinstance(self.currency, str) else self.currency
        amount = Column(
            self.name, self.label, ColumnType.DECIMAL, self.source, function=self.function, total=self.total
        )
        label = format_lazy("{} ({})", self.label, _("currency"))
        return amount, Column(f"{self.name}_currency", label, source=code)

    @property
    def words(self) -> Mapping[Any, str]:
        """The label of each stored value of a CHOICE, in the active language.

        All stored values have the same type: text, if their own types differ. Raises TypeError or ValueError if
        `choices` are not pairs.
        """
        words = words_of(self.choices)
        if len(set(map(type, words))) > 1:
            return {as_text(value): text for value, text in words.items()}
        return words


def words_of(choices: Choosable | None) -> dict[Any, str]:
    """Return the label of each stored value of `choices`, in the active language.

    None, Django's `__empty__`, is left out, because formats write no label for an empty value. Raises TypeError or
    ValueError if `choices` are not pairs.
    """
    pairs = list(normalize_choices(choices) or ())
    if any(isinstance(pair, str) for pair in pairs):  # one of two letters would pass as a pair
        raise TypeError("choices must be pairs of a value and its label.")
    every: Iterable[tuple[Any, Any]] = flatten_choices(pairs)
    return {_stored(value): str(label) for value, label in every if value is not None}


def Money(  # noqa: N802 - it stands where the name of a class would
    name: str,
    label: Text = "",
    *,
    currency: str | Combinable,
    source: str | Combinable | None = None,
    function: Callable[[Any], Any] | None = None,
    total: bool = False,
) -> Column:
    """Return a MONEY column. `currency` is an ISO 4217 code, as in "EUR", or else the field or path that holds it."""
    if isinstance(currency, str) and not CODE.fullmatch(currency):
        currency = F(currency)
    return Column(name, label, ColumnType.MONEY, source, currency, function=function, total=total)


def heading_of(name: str) -> str:
    """Return a heading for a name: "Total incl tax" for `total_incl_tax`, "Order lines" for `OrderLines`."""
    words = BETWEEN_WORDS.sub(" ", name).replace("_", " ").replace("-", " ").split()
    return capfirst(" ".join(word if word.isupper() else word.lower() for word in words)) or name


def _stored(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def blank(slot: Column) -> Column:
    """Return the slot to select: a NULL in place of a nested column, whose objects are read apart."""
    return Column(slot.name, slot.label, ColumnType.NULL) if slot.type is ColumnType.NESTED else slot


def name_of(place: int) -> str:
    """Return the name of a slot's value in queries, which differs from every model field."""
    return f"carryall_slot{place}"


def values_of(rows: QuerySet[Any], slots: Sequence[Column]) -> QuerySet[Any, tuple[Any, ...]]:
    """Return a query for the value of each slot, followed by the primary key."""
    named = {name_of(place): slot.expression for place, slot in enumerate(slots)}
    values: QuerySet[Any, tuple[Any, ...]] = rows.annotate(**named).values_list(*named, "pk")
    return values


def flat(columns: Iterable[Column]) -> list[Column]:
    """Return one column for each value of a row."""
    return [slot for column in columns for slot in column.slots]
