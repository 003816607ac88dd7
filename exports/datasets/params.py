"""Parameters of a dataset: values that users choose to narrow its rows, such as a status or a search text.

Each parameter has a form field, which checks what was sent, and a condition on the rows. `exports.datasets.filtering`
reads and applies the chosen values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import FieldError
from django.db.models import DateTimeField, DecimalField, Q, QuerySet, Value
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from exports.datasets import rules
from exports.datasets.columns import Choosable, words_of
from exports.datasets.texts import Unfit, as_text

Label = str | Promise
DAY_FORMAT = "%Y-%m-%d"
DIGITS = 38
"""Maximum digits of a number, so that a short text such as 1e999999999 cannot stand for a gigabyte of them."""
SHOWN = 20
"""Maximum number of choices that an error lists."""


@dataclass(frozen=True)
class Param(ABC):
    """One parameter. Subclasses define `form_field`, `specimen`, and `condition` or `apply`.

    `name` is used in forms, links, the API and the command line. `label` defaults to the name of the model field, else
    to `name` in words. `field` is the field, path or annotation that it compares; its default is `name`. `default` is
    chosen if a request does not name the parameter; a request with an empty value chooses nothing.
    """

    name: str
    _: KW_ONLY
    label: Label | None = None
    field: str | None = None
    default: Any = None
    required: bool = False

    @property
    def path(self) -> str:
        return self.field or self.name

    @abstractmethod
    def form_field(self) -> forms.Field:
        """Return the form field that checks and converts a value."""

    @abstractmethod
    def specimen(self) -> Any:
        """Return a cleaned value, which `manage.py check` tries the condition with."""

    def condition(self, value: Any) -> Q:
        """Return the condition of the rows for `value`, which the form field has cleaned and which is not empty."""
        return Q(**{self.path: value})

    def apply(self, rows: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return those of `rows` that `value` selects, each once, also if the path leads to many related rows."""
        found = rows.filter(self.condition(value))
        return rules.within(rows, found) if rules.joins_more(found, rows) else found

    def texts(self, value: Any) -> str | list[str]:
        """Return a cleaned value as text, or as a list of texts if the parameter takes several. It is stored so."""
        return as_text(value)

    def fault(self, rows: QuerySet[Any]) -> str:
        """Return why it cannot filter `rows` and how to fix it, in a sentence, or "". Runs no query."""
        try:
            self.apply(rows, self.specimen())
        except (FieldError, TypeError, ValueError) as error:
            reason = str(error).rstrip(".")
            return f"The parameter {self.name!r} cannot filter: {reason}. Give it field=, or override filter()."
        return ""


@dataclass(frozen=True)
class Choice(Param):
    """A choice of one value, or of several if `multiple`.

    `choices` are those of a column: pairs of value and label, a mapping, an enumeration, or a function that returns one
    of these. If the dataset has a `model`, they default to those of the model field.
    """

    choices: Choosable = ()
    _: KW_ONLY
    multiple: bool = False

    def values(self) -> dict[str, tuple[Any, str]]:
        """Return the stored value and the label of each choice, by its text. An empty one is left out: it selects all.

        Raises TypeError or ValueError if `choices` are not pairs.
        """
        every = {as_text(value): (value, label) for value, label in words_of(self.choices).items()}
        return {text: both for text, both in every.items() if text}

    def form_field(self) -> forms.Field:
        values = self.values()
        pairs = [(text, label) for text, (_value, label) in values.items()]
        kind = forms.TypedMultipleChoiceField if self.multiple else forms.TypedChoiceField
        return kind(
            choices=pairs if self.multiple else [("", _("All")), *pairs],
            coerce=lambda text: values[text][0],
            required=self.required,
            error_messages={"invalid_choice": _("There is no choice “%(value)s”.") + " " + _listed(values)},
        )

    def specimen(self) -> Any:
        first = next(iter(self.values().values()))[0]
        return [first] if self.multiple else first

    def condition(self, value: Any) -> Q:
        return Q(**{f"{self.path}__in": value}) if self.multiple else super().condition(value)

    def texts(self, value: Any) -> str | list[str]:
        """Return the text of the choice. Several are in the order of `choices`, however they were sent."""
        if not self.multiple:
            return as_text(value)
        chosen = set(map(as_text, value))
        return [text for text in self.values() if text in chosen]

    def fault(self, rows: QuerySet[Any]) -> str:
        try:
            if self.values():
                return super().fault(rows)
        except (TypeError, ValueError, Unfit):
            pass
        words = "are not pairs of a value and a label: give them as in a model field."
        return f"The choices of the parameter {self.name!r} {words}"


@dataclass(frozen=True)
class Flag(Choice):
    """Yes or no, for a boolean field."""

    choices: Choosable = ((True, gettext_lazy("Yes")), (False, gettext_lazy("No")))


@dataclass(frozen=True)
class Text(Param):
    """A search text. It selects the rows in which one of `fields` matches it, by one of Django's lookups."""

    _: KW_ONLY
    fields: Sequence[str] = ()
    lookup: str = "icontains"

    def form_field(self) -> forms.Field:
        return forms.CharField(required=self.required)

    def specimen(self) -> Any:
        return "text"

    def condition(self, value: Any) -> Q:
        either = Q()
        for path in self.fields or [self.path]:
            either |= Q(**{f"{path}__{self.lookup}": value})
        return either


@dataclass(frozen=True)
class Number(Param):
    """A number to compare the field with, by `lookup`: `exact`, `gte`, `lte`, `gt` or `lt`."""

    _: KW_ONLY
    lookup: str = "exact"

    def form_field(self) -> forms.Field:
        return forms.DecimalField(required=self.required, max_digits=DIGITS, widget=forms.NumberInput({"step": "any"}))

    def specimen(self) -> Any:
        return Decimal(1)

    def condition(self, value: Any) -> Q:
        exact = Value(value, output_field=DecimalField())  # a field of whole numbers would round it
        return Q(**{f"{self.path}__{self.lookup}": exact})

    def texts(self, value: Any) -> str | list[str]:
        return f"{Decimal(value).normalize():f}"


@dataclass(frozen=True)
class Day(Param):
    """A day to compare a date field with, by `lookup`: `exact`, `gte`, `lte`, `gt` or `lt`.

    Date-times are refused: which day they are on depends on a time zone. Periods have one.
    """

    _: KW_ONLY
    lookup: str = "exact"

    def form_field(self) -> forms.Field:
        return day_field(required=self.required)

    def specimen(self) -> Any:
        return date(2000, 1, 1)

    def condition(self, value: Any) -> Q:
        return Q(**{f"{self.path}__{self.lookup}": value})

    def fault(self, rows: QuerySet[Any]) -> str:
        try:
            moments = isinstance(rows.query.clone().resolve_ref(self.path).output_field, DateTimeField)
        except FieldError:
            moments = False  # said better by the condition
        if moments:
            words = "holds date-times: use a period, or override filter()."
            return f"The parameter {self.name!r} is a Day, but {self.path!r} {words}"
        return super().fault(rows)


class WordedField(forms.CharField):
    """A text that pages and files show in other words, such as a number in place of a list of keys."""

    def __init__(self, words: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self.words = words


def day_field(**options: Any) -> forms.DateField:
    """Return a form field for an ISO date, as sent by date inputs and programs."""
    return forms.DateField(
        input_formats=[DAY_FORMAT],
        error_messages={"invalid": gettext_lazy("Give the day as year-month-day, for example 2026-01-31.")},
        widget=forms.DateInput({"type": "date"}, format=DAY_FORMAT),
        **options,
    )


def _listed(values: Collection[str]) -> str:
    """Return the choices in a sentence, escaped for the % of an error message."""
    known = ", ".join(list(values)[:SHOWN]) or _("none")
    words = _("Choose from: %(known)s.") if len(values) <= SHOWN else _("Choose from: %(known)s and %(more)s more.")
    return (words % {"known": known, "more": len(values) - SHOWN}).replace("%", "%%")
