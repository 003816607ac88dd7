"""Columns: the names, types and sources of a dataset's values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db.models import CharField, Choices, F, QuerySet, Value
from django.db.models.expressions import Combinable
from django.utils.choices import flatten_choices, normalize_choices
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from exports.datasets.texts import as_text

Text = str | Promise
Choosable = type[Choices] | Mapping[Any, Any] | Iterable[tuple[Any, Any]] | Callable[[], Any]
"""The `choices` that Django accepts for a field: pairs, grouped or not, a mapping, an enumeration, a callable."""


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

    @property
    def numeric(self) -> bool:
        return self in (ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.FLOAT, ColumnType.MONEY)


@dataclass(frozen=True)
class Column:
    """One column: its key, heading, type and source.

    `source` is a field, a path across relations or an expression (default: the field with the column's name).
    `function` takes the row's model instance instead and returns the value. It is slower, for what SQL cannot express.
    A MONEY column sets `currency`: an ISO 4217 code, an F() or another expression. Its rows hold amount and currency.
    The rows of a CHOICE column hold the stored value. `choices` holds the labels, as for a model field; None has none.
    `total` adds the column's sum to summaries.
    """

    name: str
    label: Text
    type: ColumnType = ColumnType.TEXT
    source: str | Combinable | None = None
    currency: str | Combinable | None = None
    choices: Choosable | None = None
    function: Callable[[Any], Any] | None = None
    total: bool = False

    def __post_init__(self) -> None:
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

        All stored values have the same type: text, if their own types differ. None, Django's `__empty__`, is left out,
        because formats write no label for an empty value. Raises TypeError or ValueError if `choices` are not pairs.
        """
        pairs = list(normalize_choices(self.choices) or ())
        if any(isinstance(pair, str) for pair in pairs):  # one of two letters would pass as a pair
            raise TypeError("choices must be pairs of a value and its label.")
        every: Iterable[tuple[Any, Any]] = flatten_choices(pairs)
        words = {_stored(value): str(label) for value, label in every if value is not None}
        if len(set(map(type, words))) > 1:
            return {as_text(value): text for value, text in words.items()}
        return words


def _stored(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


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
