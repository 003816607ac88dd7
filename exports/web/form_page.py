"""Template context of the export form: the available choices, and the selected ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from exports.conf import export_settings
from exports.datasets import Dataset
from exports.formats import Format, Kind, Option, formats, writers
from exports.intake.choices import USUALLY_INSIDE
from exports.models.period import PeriodChoice
from exports.web.forms import ExportForm, chosen_datasets, offered


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


def form_context(user: AbstractBaseUser, form: ExportForm) -> dict[str, Any]:
    """Return the template context of the form."""
    known = offered(user)
    inside = form["inside"].value()
    return {
        "form": form,
        "datasets": known,
        "data_ticks": _ticks(known, chosen_datasets(_values(form))),
        "formats": [(kind, not isinstance(kind, Format)) for kind in formats],
        "inside_ticks": _ticks(writers(), USUALLY_INSIDE if inside is None else inside),
        "options": _options(form["options"].value() or {}),
        "periods": PeriodChoice.choices,
        "keep_days": export_settings().keep_days,
        **columns_context(known, _values(form)),
    }


def columns_context(known: Iterable[Dataset], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template context of the columns: those of a single dataset, or none for several datasets."""
    keys = chosen_datasets(values)
    dataset = next((dataset for dataset in known if [dataset.key] == keys), None)
    columns = _columns(dataset, values.get("fields")) if dataset else []
    ticked = sum(column.ticked for column in columns)
    return {"columns_of": ",".join(keys), "columns": columns, "columns_ticked": ticked}


def _values(form: ExportForm) -> dict[str, Any]:
    return {name: form[name].value() for name in ("dataset", "datasets", "fields")}


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
