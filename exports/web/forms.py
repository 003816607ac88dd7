"""The export form. It only parses what was sent; `request_export` checks it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from exports.datasets import Dataset, datasets
from exports.datasets.params import day_field
from exports.errors import BadRequest, ExportError
from exports.formats import Format, Kind, current, formats, options_of
from exports.intake.choices import ExportRequest
from exports.models import Export
from exports.models.period import PeriodChoice
from exports.models.selection import param_name, split_name

logger = logging.getLogger(__name__)
LISTS = ("datasets", "inside", "fields")
NAMES = (
    "dataset",
    "datasets",
    "format",
    "inside",
    "period",
    "date_from",
    "date_to",
    "fields",
    "options",
    "params",
    "team",
)
OPTION, PARAM = "option-", "param-"
"""Prefixes of the input names of format options and of parameters."""
FIELDS_OF = "fields_of"
"""Name of the input with the dataset of the listed fields. Only the page's form sends it, along with all checkboxes."""


class Names(forms.Field):
    """A list of names, or None if the field was not sent. The names are checked later."""

    widget = forms.MultipleHiddenInput

    def __init__(self, wrong: Any) -> None:
        super().__init__(required=False)
        self.wrong = wrong

    def to_python(self, value: Any) -> list[str] | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise ValidationError(self.wrong)
        return [name for name in value if name]


class Options(forms.Field):
    """Values of options by name."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> dict[str, str]:
        if value in (None, ""):
            return {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValidationError(_('Give the options as names and values, such as {"delimiter": "semicolon"}.'))
        return value


class Params(forms.Field):
    """Values of parameters by name: a text, or a list of texts."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> dict[str, str | list[str]]:
        if value in (None, ""):
            return {}
        if not isinstance(value, dict) or not all(map(_is_text_or_texts, value.values())):
            raise ValidationError(_('Give the parameters as names and values, such as {"status": "open"}.'))
        return value


def _is_text_or_texts(value: object) -> bool:
    return all(isinstance(text, str) for text in (value if isinstance(value, list) else [value]))


class ExportForm(forms.Form):
    """One request for an export. The template renders the choices with their descriptions."""

    dataset = forms.CharField(label=_("Data"), required=False)
    team = forms.CharField(label=_("Whose data"), required=False)
    format = forms.CharField(label=_("Format"), error_messages={"required": _("Choose a format.")})
    period = forms.CharField(label=_("Period"), required=False, empty_value=None)
    date_from = day_field(label=_("From"), required=False)
    date_to = day_field(label=_("To"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_id": "carryall-%s", **kwargs})
        self.fields["datasets"] = Names(_("Give the datasets as a list of names."))
        self.fields["inside"] = Names(_("Give the formats inside as a list of names."))
        self.fields["fields"] = Names(_("Give the fields as a list of names."))
        self.fields["options"] = Options(required=False)
        self.fields["params"] = Params(required=False)
        self.fields["dataset"].initial = next((entry.key for entry in datasets if entry.personal), "")
        self.fields["format"].initial = next((entry.key for entry in formats), "")
        self.fields["period"].initial = PeriodChoice.YEAR_TO_DATE.value

    def clean(self) -> dict[str, Any]:
        """Require a dataset, and ignore the dates (hidden inputs) unless the period is custom."""
        if self.cleaned_data.get("period") != PeriodChoice.CUSTOM:
            for name in ("date_from", "date_to"):
                self.errors.pop(name, None)
                self.cleaned_data[name] = None
        if not self._datasets and not {"dataset", "datasets"} & set(self.errors):
            self.add_error("dataset", _("Choose what to export."))
        return self.cleaned_data

    @property
    def _datasets(self) -> list[str]:
        one = self.cleaned_data.get("dataset")
        return list(dict.fromkeys([*([one] if one else []), *(self.cleaned_data.get("datasets") or [])]))

    @property
    def request(self) -> ExportRequest:
        """The request of a valid form."""
        given = {name: self.cleaned_data[name] for name in NAMES if name not in ("dataset", "datasets")}
        return ExportRequest(dataset=self._datasets, **given)

    def refuse(self, error: ExportError) -> None:
        """Add `error` to its field, or to the form if it has no field."""
        field = error.field if isinstance(error, BadRequest) else None
        self.add_error(field if field in self.fields else None, error.message)


# --- the form of the page -------------------------------------------------------------------------------------------


def sent_by_page(sent: QueryDict) -> dict[str, Any]:
    """Return the data sent by the page's form, or by a link to it, without the inputs that do not apply.

    The form always sends the options and checkboxes of all formats, because it must work without JavaScript.
    """
    data: dict[str, Any] = {name: sent[name] for name in NAMES if name in sent and name not in LISTS}
    every_tick, bundle = FIELDS_OF in sent, is_bundle(sent.get("format", ""))
    if bundle and (every_tick or "datasets" in sent):
        data["datasets"] = sent.getlist("datasets")
        data.pop("dataset", None)
    if bundle and (every_tick or "inside" in sent):
        data["inside"] = sent.getlist("inside")
    if (every_tick or "fields" in sent) and _fields_apply(sent, chosen_datasets(data)):
        data["fields"] = sent.getlist("fields")
    data["options"] = _options_sent(sent, data)
    data["params"] = _params_sent(sent, chosen_datasets(data))
    return data


def _fields_apply(sent: QueryDict, chosen: Sequence[str]) -> bool:
    """Return whether the selected fields apply: to the only dataset, or to one of several if a field was left out."""
    of = sent.get(FIELDS_OF, "")
    if of not in chosen or len(chosen) == 1:
        return of in ("", *chosen)
    return of in datasets and {column.name for column in datasets.get(of).columns} > set(sent.getlist("fields"))


def _options_sent(sent: QueryDict, data: Mapping[str, Any]) -> dict[str, str]:
    given = {name.removeprefix(OPTION): str(sent[name]) for name in sent if name.startswith(OPTION)}
    kinds = _kinds(data)
    known = options_of(kinds)
    return {name: value for name, value in current(kinds, given).items() if name in known or FIELDS_OF not in sent}


def params_in(sent: QueryDict) -> dict[str, str | list[str]]:
    """Return the values of the inputs param-<name> by name: a list if the name is repeated."""
    values = {name.removeprefix(PARAM): sent.getlist(name) for name in sent if name.startswith(PARAM)}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}


def _params_sent(sent: QueryDict, chosen: Sequence[str]) -> dict[str, str | list[str]]:
    """Return the parameters that were sent. On the page, they belong to the datasets that it shows, which differ from
    the chosen ones if the choice was changed without JavaScript.
    """
    given = params_in(sent)
    if FIELDS_OF not in sent:
        return given
    shown = str(sent[FIELDS_OF]).split(",")
    found = {}
    for full, value in given.items():
        key, name = split_name(full)
        if not key and len(shown) == 1:
            key = shown[0]
        if not key or key in chosen:
            found[param_name(key, name, several=bool(key))] = value
    return found


def chosen_datasets(data: Mapping[str, Any]) -> list[str]:
    """Return the keys of the datasets that were sent."""
    return list(data["datasets"]) if data.get("datasets") is not None else [data.get("dataset") or ""]


def is_bundle(key: str) -> bool:
    """Return whether the format is a bundle, which can hold several datasets."""
    return key in formats and not isinstance(formats.get(key), Format)


def _kinds(data: Mapping[str, Any]) -> list[Kind]:
    keys = [data.get("format", ""), *(data.get("inside") or [])]
    return [formats.get(key) for key in keys if key in formats]


def prefill(query: QueryDict) -> dict[str, Any]:
    """Return the initial values of the form from the query of a link, without invalid ones.

    Invalid parameters are kept, and shown as errors: without them, the form would offer more than the link meant.
    """
    sent = sent_by_page(query)
    known: dict[str, object] = {"dataset": datasets, "format": formats, "period": PeriodChoice.values}
    chosen = {name: sent[name] for name in known if sent.get(name) in known[name]}  # type: ignore[operator]
    for name, within in (("datasets", datasets), ("inside", formats)):
        if keys := [key for key in sent.get(name) or () if key in within]:
            chosen[name] = keys
    if sent.get("team"):
        chosen["team"] = sent["team"]
    if sent.get("fields"):
        chosen["fields"] = sent["fields"]
    more = {name: sent[name] for name in ("options", "params") if sent[name]}
    return chosen | more | {name: query[name] for name in ("date_from", "date_to") if name in query}


def offered(user: AbstractBaseUser) -> list[Dataset]:
    """Return the datasets that `user` may export. If the code of a dataset fails, it is logged and left out."""
    found = []
    for dataset in datasets:
        try:
            if (
                dataset.personal
                and dataset.permitted(user)
                and (dataset.owner_model is None or dataset.owners(user).exists())
            ):
                found.append(dataset)
        except Exception:
            logger.exception("The permission check of dataset %s failed for user %s.", dataset.key, user.pk)
    return found


def _without_defaults(export: Export) -> dict[str, str]:
    """Return an empty value for each parameter with a default, by name: an export without it was made without it."""
    several = len(export.datasets) > 1
    known = [datasets.get(key) for key in export.datasets if key in datasets]
    return {
        param_name(dataset.key, param.name, several=several): ""
        for dataset in known
        for param in dataset.params
        if param.default is not None
    }


def datasets_of_teams(export: Export) -> bool:
    """Return whether the data of an export belongs to a team."""
    return all(key in datasets and datasets.get(key).owner_model is not None for key in export.datasets)


def again_url(export: Export) -> str:
    """Return the URL of the form with the choices of `export`, or "" if the form does not offer its data."""
    if any(key in datasets and not datasets.get(key).personal for key in export.datasets):
        return ""
    query: dict[str, Any] = {"dataset": export.datasets[0], "format": export.format, "period": export.period_choice}
    if export.inside:
        query |= {"datasets": export.datasets, "inside": export.inside}
    if export.subject_model and datasets_of_teams(export):
        query["team"] = export.subject_key
    if export.fields:
        query["fields"] = export.fields
    query |= {f"{OPTION}{name}": value for name, value in export.options.items()}
    query |= {f"{PARAM}{name}": value for name, value in (_without_defaults(export) | export.params).items()}
    if export.period_choice == PeriodChoice.CUSTOM:
        query |= {"date_from": export.period.first_day, "date_to": export.period.last_day}
    return f"{reverse('exports:list')}?{urlencode(query, doseq=True)}"
