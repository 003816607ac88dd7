"""Template context of the export form: the available choices, and the selected ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from exports.conf import export_settings
from exports.datasets import Dataset, Nested
from exports.datasets.access import teams
from exports.datasets.filtering import RequestParams
from exports.formats import Format, Kind, Option, formats, writers
from exports.intake.choices import USUALLY_INSIDE, belongs_to_everything
from exports.models.period import PeriodChoice
from exports.web.forms import PARAM, ExportForm, chosen_datasets, offered


@dataclass(frozen=True)
class Tick:
    """A checkbox of the form."""

    name: str
    label: str
    ticked: bool
    usual: int = 0
    """Its position in the default order."""


@dataclass(frozen=True)
class FormOption:
    """An option of one or more formats, and its selected value."""

    option: Option
    kinds: Sequence[Kind]
    value: str

    @property
    def keys(self) -> str:
        return " ".join(kind.key for kind in self.kinds)

    @property
    def of(self) -> str:
        return ", ".join(str(kind.label) for kind in self.kinds)


@dataclass(frozen=True)
class FormParam:
    """A parameter of a chosen dataset: its label, its input as HTML, and what is wrong with its value."""

    name: str
    """The name of the input."""
    of: str
    """The label of the dataset if several are chosen, else empty."""
    label: str
    id: str
    """The ID of the input that the label belongs to."""
    html: str
    errors: Sequence[str]
    ticks: bool
    """Whether a browser sends nothing at all if no value is chosen."""


def form_context(user: AbstractBaseUser, form: ExportForm) -> dict[str, Any]:
    """Return the template context of the form."""
    known = offered(user)
    inside = form["inside"].value()
    filters = params_context(known, user, _values(form), sent=form.is_bound)
    if not filters["params_errors"] and not any(param.errors for param in filters["params"]):
        filters["params_errors"] = form.errors.get("params", ())
    return {
        "form": form,
        "datasets": known,
        "everything": any(map(belongs_to_everything, known)),
        "data_ticks": _ticks(known, chosen_datasets(_values(form))),
        "formats": [(kind, not isinstance(kind, Format)) for kind in formats],
        "inside_ticks": _ticks(writers(), USUALLY_INSIDE if inside is None else inside),
        "options": _options(form["options"].value() or {}),
        "periods": PeriodChoice.choices,
        "keep_days": export_settings().keep_days,
        **columns_context(known, _values(form)),
        **filters,
    }


def columns_context(known: Iterable[Dataset], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template context of the columns: those of a single dataset, or none for several datasets."""
    keys = chosen_datasets(values)
    dataset = next((dataset for dataset in known if [dataset.key] == keys), None)
    columns = _columns(dataset, values.get("fields")) if dataset else []
    ticked = sum(column.ticked for column in columns)
    return {
        "columns_of": ",".join(keys),
        "columns": columns,
        "columns_ticked": ticked,
        "nested": [str(each.label) for each in dataset.columns if isinstance(each, Nested)] if dataset else [],
        "flat_formats": [str(kind.label) for kind in writers() if not kind.holds_objects],
    }


def params_context(
    known: Iterable[Dataset], user: AbstractBaseUser, values: Mapping[str, Any], *, sent: bool = False
) -> dict[str, Any]:
    """Return the template context of the parameters of the chosen datasets, with the errors of those that have a value.

    If the form was `sent`, also with the errors of those that lack one.
    """
    every, keys = list(known), chosen_datasets(values)
    chosen = [dataset for dataset in every if dataset.key in keys]
    mine = teams(user, chosen)
    team = next((each for each in mine if str(each.pk) == values.get("team")), mine[0] if mine else None)
    params = RequestParams(chosen, team or user)
    found, errors = params.assign(values.get("params") or {})
    shown = [each for dataset in chosen for each in _params(params, dataset, found[dataset.key], sent=sent)]
    return {
        "teams": [(str(each.pk), str(each), each == team) for each in mine],
        "params": shown,
        "params_errors": [error.message for error in errors.values()] if chosen else [],
        "has_params": any(dataset.params or dataset.filterset or dataset.owner_model for dataset in every),
    }


def _params(params: RequestParams, dataset: Dataset, given: Mapping[str, Any], *, sent: bool) -> Iterator[FormParam]:
    mine = params.each[dataset.key]
    raw, _faults = mine.raw(given)
    faults = mine.complete(given).faults
    for name, field in mine.fields.items():
        value = raw[name] if name in raw else given.get(name, mine.default(name))
        full = f"{PARAM}{params.name(dataset.key, name)}"
        error = faults.get(name) if sent or value else None
        own = f"carryall-{full}"
        attrs = {"id": own} | ({"aria-invalid": "true", "aria-describedby": f"{own}-error"} if error else {})
        yield FormParam(
            name=full,
            of=str(dataset.label) if len(params.each) > 1 else "",
            label=str(field.label),
            id=field.widget.id_for_label(attrs["id"]),
            html=field.widget.render(full, value, attrs),
            errors=[error] if error else [],
            ticks=bool(getattr(field.widget, "allow_multiple_selected", False)),
        )


def _values(form: ExportForm) -> dict[str, Any]:
    return {name: form[name].value() for name in ("dataset", "datasets", "fields", "params", "team")}


def _ticks(entries: Iterable[Any], chosen: Iterable[str]) -> list[Tick]:
    keys = set(chosen)
    return [Tick(entry.key, str(entry.label), entry.key in keys) for entry in entries]


def _columns(dataset: Dataset, fields: Sequence[str] | None) -> list[Tick]:
    """Return the selected columns in their order, then the others in the order of the dataset."""
    labels = {column.name: str(column.label) for column in dataset.columns}
    chosen = [name for name in dict.fromkeys(labels if fields is None else fields) if name in labels]
    places = {name: place for place, name in enumerate(labels)}
    return [Tick(name, labels[name], name in chosen, places[name]) for name in dict.fromkeys([*chosen, *labels])]


def _options(values: Mapping[str, str]) -> list[FormOption]:
    """Return the options of all formats. Options with the same name are merged."""
    kinds: dict[str, list[Kind]] = {}
    known: dict[str, Option] = {}
    for kind in formats:
        for option in kind.options:
            known.setdefault(option.name, option)
            kinds.setdefault(option.name, []).append(kind)
    return [FormOption(option, kinds[name], values.get(name, option.default)) for name, option in known.items()]


def change(data: dict[str, Any], what: str, known: Iterable[Dataset]) -> dict[str, Any]:
    """Return the form data after a press of the column button `what`, for pages without JavaScript."""
    names = {column.name: column.ticked for column in columns_context(known, data)["columns"]}
    chosen = [name for name, ticked in names.items() if ticked]
    verb, _, name = what.partition(":")
    if verb in ("all", "none"):
        return data | {"fields": list(names) if verb == "all" else []}
    if verb == "reset":
        return {key: value for key, value in data.items() if key != "fields"}
    if verb in ("up", "down") and name in chosen:
        place = chosen.index(name)
        other = max(0, min(place + (1 if verb == "down" else -1), len(chosen) - 1))
        chosen[place], chosen[other] = chosen[other], chosen[place]
        return data | {"fields": chosen}
    return data
