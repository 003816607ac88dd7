"""Check the chosen values of parameters, and narrow the rows of a dataset by them.

A value is stored as text. If a parameter takes several values, its text is one line of CSV: `open,paid`. A request
names a parameter by its name, or as `<dataset>.<name>` where several datasets have it.
"""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, Protocol

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, FieldDoesNotExist, ValidationError
from django.db.models import Field, QuerySet
from django.forms.utils import pretty_name
from django.forms.widgets import ChoiceWidget
from django.http import HttpRequest, QueryDict
from django.utils.choices import flatten_choices
from django.utils.formats import localize
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from exports.datasets import rules
from exports.datasets.params import Choice, Label, Param, WordedField
from exports.errors import BadParam, UnfitDataset
from exports.models.selection import param_name, split_name
from notifications.dates import day

Raw = str | list[str]
"""A value as a form field takes it: a list if the parameter takes several values or has several inputs."""
Given = Mapping[str, str | Sequence[str]]
"""Values as they were sent, by the name of the parameter or of its input."""
PARAMS = Param.__module__
MOST_LETTERS = 1_000
"""Maximum length of the text of a value, unless its form field has a `max_length`."""


class Filterable(Protocol):
    """The attributes of a dataset that this module uses."""

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> Label: ...

    @property
    def params(self) -> Sequence[Param]: ...

    @property
    def filterset(self) -> Any: ...

    def queryset(self, user: Any) -> QuerySet[Any]: ...

    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]: ...


@dataclass
class Checked:
    """The result of a check: the values to store, and what is wrong with others, both by name."""

    texts: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


class Parameters(ABC):
    """The parameters of a dataset for one owner."""

    def __init__(self, dataset: Filterable, owner: Any) -> None:
        self.dataset, self.owner = dataset, owner

    @property
    @abstractmethod
    def fields(self) -> Mapping[str, forms.Field]:
        """The form field of each parameter by name, with its label."""

    @abstractmethod
    def check(self, raw: Mapping[str, Raw]) -> Checked:
        """Check the values. Empty ones are left out."""

    @abstractmethod
    def narrow(self, rows: QuerySet[Any], texts: Mapping[str, str]) -> QuerySet[Any]:
        """Return those of `rows` that the stored values select. Raises BadParam if one is no longer valid."""

    def default(self, name: str) -> Raw | None:
        """Return the value of a parameter that a request does not name, or None."""
        return None

    def knows(self, name: str) -> bool:
        """Return whether this is the name of a parameter, or of one of its inputs."""
        return name in self.fields or any(name in input_names(each, key) for key, each in self.fields.items())

    def raw(self, given: Given) -> tuple[dict[str, Raw], dict[str, str]]:
        """Return the given values as form fields take them, and what is wrong with others, both by name."""
        found: dict[str, Raw] = {}
        faults: dict[str, str] = {}
        for name, each in self.fields.items():
            try:
                value = _raw(each, name, given)
            except ValidationError as error:
                faults[name] = " ".join(error.messages)
            else:
                if value is not None:
                    found[name] = value
        return found, faults

    def complete(self, given: Given) -> Checked:
        """Check the values of a request, with defaults for the parameters that it does not name."""
        raw, faults = self.raw(given)
        defaults = {name: self.default(name) for name in self.fields if name not in {*raw, *faults}}
        checked = self.check({name: value for name, value in (defaults | raw).items() if value is not None})
        return Checked(checked.texts, checked.faults | faults)

    def of_texts(self, texts: Mapping[str, str]) -> dict[str, Raw]:
        """Return stored values as form fields take them. Raises BadParam for an unknown name."""
        for name in texts:
            if name not in self.fields:
                raise unknown([self], name)
        return {name: split(text) if takes_several(self.fields[name], name) else text for name, text in texts.items()}


class Declared(Parameters):
    """The `params` of a dataset."""

    @cached_property
    def params(self) -> dict[str, Param]:
        return {param.name: _labelled(param, self.dataset) for param in self.dataset.params}

    @cached_property
    def fields(self) -> Mapping[str, forms.Field]:
        found = {}
        for name, param in self.params.items():
            found[name] = param.form_field()
            found[name].label = str(param.label)
        return found

    def default(self, name: str) -> Raw | None:
        value = self.params[name].default
        return None if value is None else self.params[name].texts(value)

    def check(self, raw: Mapping[str, Raw]) -> Checked:
        checked = Checked()
        for name, each in self.fields.items():
            try:
                value = each.clean(raw.get(name))
            except ValidationError as error:
                checked.faults[name] = " ".join(error.messages)
            else:
                if value not in each.empty_values:
                    checked.texts[name] = as_line(self.params[name].texts(value))
        return checked

    def narrow(self, rows: QuerySet[Any], texts: Mapping[str, str]) -> QuerySet[Any]:
        values = {}
        for name, raw in self.of_texts(texts).items():
            try:
                values[name] = self.fields[name].clean(raw)
            except ValidationError as error:
                raise wrong(self.fields[name], name, " ".join(error.messages)) from error
        return self.dataset.filter(rows, values)

    def filtered(self, rows: QuerySet[Any], values: Mapping[str, Any]) -> QuerySet[Any]:
        """Return those of `rows` that these cleaned values select."""
        for name, value in values.items():
            rows = self.params[name].apply(rows, value)
        return rows


class OfFilterset(Parameters):
    """The filters of a dataset's `filterset`, a FilterSet of django-filter. Its request has the owner as user."""

    @cached_property
    def fields(self) -> Mapping[str, forms.Field]:
        import django_filters

        filterset = self.filterset({})
        ordering = {key for key, each in filterset.filters.items() if isinstance(each, django_filters.OrderingFilter)}
        found = {name: each for name, each in filterset.form.fields.items() if name not in ordering}
        for name, each in found.items():
            each.label, each.initial = str(each.label or pretty_name(name)), None
        return found

    def check(self, raw: Mapping[str, Raw]) -> Checked:
        faults = _messages(self.filterset(raw))
        texts = {name: as_line(value) for name, value in raw.items() if name not in faults and any(value)}
        return Checked(texts, faults)

    def narrow(self, rows: QuerySet[Any], texts: Mapping[str, str]) -> QuerySet[Any]:
        filterset = self.filterset(self.of_texts(texts), rows)
        for name, message in _messages(filterset).items():
            raise wrong(self.fields.get(name), name, message)
        found: QuerySet[Any] = filterset.qs
        return found

    def filterset(self, raw: Mapping[str, Raw], rows: QuerySet[Any] | None = None) -> Any:
        """Return the FilterSet with these values; `rows` default to those of `queryset()`."""
        data = QueryDict(mutable=True)
        for name, value in raw.items():
            inputs = input_names(self.fields[name], name)
            if len(inputs) > 1:
                data.update(dict(zip(inputs, value, strict=False)))
            else:
                data.setlist(name, [value] if isinstance(value, str) else value)
        request = HttpRequest()
        request.method, request.user = "GET", self.owner
        rows = self.dataset.queryset(self.owner) if rows is None else rows
        return self.dataset.filterset(data, queryset=rows, request=request)


def _messages(filterset: Any) -> dict[str, str]:
    """Return the errors of a FilterSet's form by name; those of the whole form have an empty name."""
    errors = {name: " ".join(map(str, messages)) for name, messages in filterset.errors.items()}
    return {"" if name == NON_FIELD_ERRORS else name: message for name, message in errors.items()}


def parameters(dataset: Filterable, owner: Any) -> Parameters:
    return OfFilterset(dataset, owner) if dataset.filterset is not None else Declared(dataset, owner)


# --- rows -----------------------------------------------------------------------------------------------------------


def narrowed(dataset: Filterable, owner: Any, texts: Mapping[str, str], *, plain: bool) -> QuerySet[Any]:
    """Return the rows of `owner` that the values select. Raises BadParam, and UnfitDataset for a bad filter.

    `plain` says that `filter()` is not overridden. If code of the site filters, its rows only restrict those of
    `queryset()`, so that it can neither add nor repeat any.
    """
    rows = dataset.queryset(owner)
    chosen = {name: text for name, text in texts.items() if text}
    if not chosen:
        return rows
    found = parameters(dataset, owner).narrow(rows, chosen)
    if plain and dataset.filterset is None and all(type(each).__module__ == PARAMS for each in dataset.params):
        return found
    return restricted(dataset.key, rows, found, "filterset" if dataset.filterset is not None else "filter()")


def restricted(key: str, rows: QuerySet[Any], found: QuerySet[Any], made_by: str) -> QuerySet[Any]:
    """Return those of `rows` that are in `found`, which `made_by` made of them. Raises UnfitDataset."""
    if faults := rules.faults_of_filter(found, rows, made_by):
        raise UnfitDataset.because(key, faults)
    return rules.within(rows, found)


def faults(dataset: Filterable, owner: Any, rows: QuerySet[Any], *, plain: bool) -> list[str]:
    """Return one sentence for each reason why parameters cannot be used, with how to fix it. Runs no query."""
    if dataset.params and dataset.filterset is not None:
        return ["It has both params and a filterset: leave one of them out."]
    if dataset.filterset is not None:
        return _faults_of_filterset(dataset, owner)
    names = [param.name for param in dataset.params]
    found = [f"Two parameters have the name {name!r}: rename one." for name in set(names) if names.count(name) > 1]
    found += [
        f"The parameter name {name!r} is not an identifier: rename it." for name in names if not name.isidentifier()
    ]
    if plain:  # otherwise filter() may handle those that have no field
        found += [fault for param in Declared(dataset, owner).params.values() if (fault := param.fault(rows))]
    return found


def _faults_of_filterset(dataset: Filterable, owner: Any) -> list[str]:
    import django_filters

    filters = OfFilterset(dataset, owner).filterset({}).filters
    return [
        f"The filter {name!r} is relative to the current day, which changes between parts: use a DateFromToRangeFilter."
        for name, each in filters.items()
        if isinstance(each, django_filters.DateRangeFilter)
    ]


# --- the parameters of a request ------------------------------------------------------------------------------------


class RequestParams:
    """The parameters of all datasets of a request or export, in one mapping of names."""

    def __init__(self, chosen: Sequence[Filterable], owner: Any) -> None:
        self.each = {dataset.key: parameters(dataset, owner) for dataset in chosen}

    def name(self, dataset: str, name: str) -> str:
        return param_name(dataset, name, several=len(self.each) > 1)

    def assign(self, given: Given) -> tuple[dict[str, dict[str, Any]], dict[str, BadParam]]:
        """Return the given values by dataset and name, and an error for each name that belongs to no single dataset."""
        found: dict[str, dict[str, Any]] = {key: {} for key in self.each}
        errors = {}
        for full, value in given.items():
            key, name = split_name(full)
            keys = [each for each in ([key] if key else self.each) if each in self.each and self.each[each].knows(name)]
            if len(keys) == 1 and name in found[keys[0]]:
                errors[full] = BadParam.of(full, _("The request names the parameter %s twice. Name it once.") % name)
            elif len(keys) == 1:
                found[keys[0]][name] = value
            elif keys:
                which = ", ".join(self.name(each, name) for each in keys)
                words = _("Several datasets have the parameter %(name)s. Write one of: %(known)s.")
                errors[full] = BadParam.of(full, words % {"name": name, "known": which})
            else:
                errors[full] = unknown(list(self.each.values()), self.name(key, name) if key in self.each else full)
        return found, errors

    def choose(self, given: Given) -> dict[str, str]:
        """Return the values to store for a request, with defaults. Raises BadParam for the first one that is wrong."""
        found, errors = self.assign(given)
        for error in errors.values():
            raise error
        texts: dict[str, str] = {}
        for key, params in self.each.items():
            checked = params.complete(found[key])
            for name, message in checked.faults.items():
                raise wrong(params.fields.get(name), self.name(key, name), message)
            texts |= {self.name(key, name): text for name, text in checked.texts.items()}
        return texts

    def require(self, texts: Mapping[str, str]) -> None:
        """Raise BadParam if one of these stored values is no longer valid, or its parameter no longer exists."""
        found, errors = self.assign(texts)
        for error in errors.values():
            raise error
        for key, params in self.each.items():
            if found[key]:
                params.narrow(params.dataset.queryset(params.owner), found[key])


def unknown(every: Sequence[Parameters], name: str) -> BadParam:
    several = len(every) > 1
    known = [param_name(each.dataset.key, key, several=several) for each in every for key in each.fields]
    labels = ", ".join(str(each.dataset.label) for each in every)
    words = _("“%(label)s” has no parameter %(name)s. Choose from: %(known)s.")
    return BadParam.of(name, words % {"label": labels, "name": name, "known": ", ".join(known) or _("none")})


def wrong(each: forms.Field | None, name: str, message: str) -> BadParam:
    return BadParam.of(name, f"{each.label}: {message}" if each else message)


# --- one value ------------------------------------------------------------------------------------------------------


def input_names(each: forms.Field, name: str) -> list[str]:
    """Return the names of the inputs of a form field: several for a range, for example."""
    if isinstance(each.widget, ChoiceWidget):  # its context holds every choice, which may be many rows
        return [name]
    parts = each.widget.get_context(name, None, {})["widget"].get("subwidgets", ())
    return [part["name"] for part in parts] or [name]


def takes_several(each: forms.Field, name: str) -> bool:
    """Return whether the field takes a list: it allows several choices, or has several inputs."""
    return bool(getattr(each.widget, "allow_multiple_selected", False)) or len(input_names(each, name)) > 1


def _raw(each: forms.Field, name: str, given: Given) -> Raw | None:
    """Return the value of one parameter as its field takes it, or None if it was not sent. Raises ValidationError."""
    inputs = input_names(each, name)
    value: str | Sequence[str] | None = given.get(name)
    if len(inputs) > 1 and any(part in given for part in inputs):
        value = [_first(given.get(part, "")) for part in inputs]
    if value is None:
        return None
    if takes_several(each, name):
        texts = split(value) if isinstance(value, str) else list(value)
        raw: Raw = texts if len(inputs) > 1 else [text for text in texts if text]
    elif isinstance(value, str):
        raw = value.strip()
    elif len(value) > 1:
        raise ValidationError(_("Give one value only."))
    else:
        raw = _first(value).strip()
    _require_storable(as_line(raw), getattr(each, "max_length", None) or MOST_LETTERS)
    return raw


def _first(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else next(iter(value), "")


def _require_storable(text: str, most: int) -> None:
    if len(text) > most:
        raise ValidationError(_("This is longer than %d characters. Shorten it.") % most)
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValidationError(_("This contains characters that cannot be stored. Remove them."))


def as_line(value: Raw) -> str:
    """Return a value as text: a list as one line of CSV."""
    if isinstance(value, str):
        return value
    line = io.StringIO()
    csv.writer(line).writerow(value)  # with its line ends, or it would not quote those in a text
    return line.getvalue().removesuffix("\r\n")


def split(line: str) -> list[str]:
    """Return the texts in one line of CSV."""
    return next(csv.reader(io.StringIO(line, newline="")), [])


# --- words and labels -------------------------------------------------------------------------------------------------


def _labelled(param: Param, dataset: Filterable) -> Param:
    """Return `param` with a label and, for a choice, with choices: by default those of the model field."""
    known = _model_field(dataset, param.path)
    if isinstance(param, Choice) and not param.choices and known is not None:
        param = replace(param, choices=known.choices or ())
    if param.label is not None:
        return param
    words = str(known.verbose_name) if known is not None and param.field is None else pretty_name(param.name)
    label: Label = capfirst(words)
    return replace(param, label=label)


def _model_field(dataset: Filterable, path: str) -> Field[Any, Any] | None:
    """Return the field of the dataset's model, if it declares a model and the path is a field of its own."""
    model: Any = getattr(dataset, "model", None)
    try:
        found = model._meta.get_field(path) if hasattr(model, "_meta") else None
    except FieldDoesNotExist:
        return None
    return found if isinstance(found, Field) else None


def in_words(params: Parameters, name: str, text: str) -> tuple[str, str]:
    """Return the label and the value of a parameter in words. One that no longer exists is returned as it is stored."""
    each = params.fields.get(name)
    if each is None:
        return name, text
    texts = split(text) if takes_several(each, name) else [text]
    if isinstance(each, forms.MultiValueField):  # a range, for example
        return str(each.label), " – ".join(
            _words(part, value) if value else "…" for part, value in zip(each.fields, texts, strict=False)
        )
    words = each.words if isinstance(each, WordedField) else partial(_words, each)
    return str(each.label), ", ".join(map(words, texts))


def _words(each: Any, text: str) -> str:
    """Return one value in words, in the active language; as it is stored if the field no longer accepts it."""
    try:
        if isinstance(each, forms.ModelMultipleChoiceField):
            return ", ".join(map(each.label_from_instance, each.clean([text])))
        if isinstance(each, forms.ModelChoiceField):
            return str(each.label_from_instance(each.clean(text)))
        choices: Any = getattr(each, "choices", None) or getattr(each.widget, "choices", ())
        if choices:
            pairs: Iterable[tuple[Any, Any]] = flatten_choices(choices)
            return {str(value): str(label) for value, label in pairs}.get(text, text)
        value = each.clean(text)
    except ValidationError:
        return text
    if isinstance(value, date) and not isinstance(value, datetime):
        return day(value)
    return str(localize(value)) if isinstance(value, int | float | Decimal) else text
