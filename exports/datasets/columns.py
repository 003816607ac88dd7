"""Columns: what a dataset's values are called, what they are, and where they come from."""

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
"""What Django takes for the `choices` of a field: pairs, in groups or not, a mapping, an enumeration, a function."""


class ColumnType(Enum):
    """How a column's values are written. Every value may also be None."""

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
    """One column: key, heading, type, and where its value comes from.

    `source` is a field, a path across relations or an expression (default: the field of the column's name). `function`
    takes the row's model instance instead and returns the value: the slow lane, for what SQL cannot say.
    A MONEY column names its `currency`, an ISO 4217 code or an F() or expression; its rows hold amount and currency.
    A CHOICE column's rows hold the stored value, `choices` the words for it, as a model field's; None has no words.
    `total` asks for the sum in summaries.
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
        if isinstance(self.choices, Iterator):  # it can be read once, and each file needs it
            object.__setattr__(self, "choices", tuple(self.choices))

    @property
    def expression(self) -> Combinable:
        """What the database gives for it; nothing at all for NULL and for a function."""
        if self.type is ColumnType.NULL or self.function is not None:
            return Value(None, output_field=CharField())
        source = self.source or self.name
        return F(source) if isinstance(source, str) else source

    @property
    def slots(self) -> tuple[Column, ...]:
        """The plain columns that a row has a value for: two for MONEY, else itself."""
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
        """For each stored value of a CHOICE its words, in the language that is active now.

        The stored values are of one type: text, where they would be of several. None, Django's `__empty__`, is left
        out: nothing is chosen, and nothing is written in any format. Raises TypeError or ValueError for what is not
        pairs.
        """
        pairs = list(normalize_choices(self.choices) or ())
        if any(isinstance(pair, str) for pair in pairs):  # one of two letters would be taken for a pair
            raise TypeError("choices are pairs of a value and its words.")
        every: Iterable[tuple[Any, Any]] = flatten_choices(pairs)
        words = {_stored(value): str(label) for value, label in every if value is not None}
        if len(set(map(type, words))) > 1:
            return {as_text(value): text for value, text in words.items()}
        return words


def _stored(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def name_of(place: int) -> str:
    """The name that the value of a slot has in queries: not that of a model's field."""
    return f"carryall_slot{place}"


def values_of(rows: QuerySet[Any], slots: Sequence[Column]) -> QuerySet[Any, tuple[Any, ...]]:
    """A query for the value of each slot, and the primary key behind them."""
    named = {name_of(place): slot.expression for place, slot in enumerate(slots)}
    values: QuerySet[Any, tuple[Any, ...]] = rows.annotate(**named).values_list(*named, "pk")
    return values


def flat(columns: Iterable[Column]) -> list[Column]:
    """A column for each value of a row."""
    return [slot for column in columns for slot in column.slots]
