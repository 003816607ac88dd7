"""The form of the button: reads what was sent; whether it can be done is for `request_export` to say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from exports.datasets import Dataset, datasets
from exports.errors import BadRequest, ExportError
from exports.formats import formats
from exports.models import Export
from exports.periods import PeriodChoice

logger = logging.getLogger(__name__)
NAMES = ("dataset", "format", "period", "date_from", "date_to", "fields")
DAY_FORMAT = "%Y-%m-%d"


class Day(forms.DateField):
    """A date as date inputs and programs write it."""

    def __init__(self, label: Any) -> None:
        wrong = _("Give the day as year-month-day, for example 2026-01-31.")
        super().__init__(
            label=label,
            required=False,
            input_formats=[DAY_FORMAT],
            error_messages={"invalid": wrong},
            widget=forms.DateInput({"type": "date"}, format=DAY_FORMAT),
        )


class Names(forms.Field):
    """Any number of column names; which of them exist is the dataset's to know."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        if not isinstance(value, list | tuple | None) or not all(isinstance(name, str) for name in value or ()):
            raise ValidationError(_("Give the fields as a list of names."))
        return [name for name in value or () if name]


class ExportForm(forms.Form):
    """One request. The choices stand in the template, which knows their descriptions."""

    dataset = forms.CharField(label=_("What"), error_messages={"required": _("Choose what to export.")})
    format = forms.CharField(label=_("Format"), error_messages={"required": _("Choose a format.")})
    period = forms.CharField(label=_("Period"), required=False, empty_value=PeriodChoice.YEAR_TO_DATE.value)
    date_from = Day(_("From"))
    date_to = Day(_("To"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["fields"] = Names(required=False)
        self.fields["dataset"].initial = next((entry.key for entry in datasets), "")
        self.fields["format"].initial = next((entry.key for entry in formats), "")
        self.fields["period"].initial = PeriodChoice.YEAR_TO_DATE.value

    def clean(self) -> dict[str, Any]:
        """Dates count for the custom period alone; what stands in hidden inputs otherwise is nobody's fault."""
        if self.cleaned_data.get("period") != PeriodChoice.CUSTOM:
            for name in ("date_from", "date_to"):
                self.errors.pop(name, None)
                self.cleaned_data[name] = None
        return self.cleaned_data

    def refuse(self, error: ExportError) -> None:
        """Say `error` beside its field, or above the form when it has none."""
        field = error.field if isinstance(error, BadRequest) else None
        self.add_error(field if field in self.fields else None, error.message)


def prefill(query: Mapping[str, str]) -> dict[str, str]:
    """The form's initial values out of a link; what such a link cannot mean is left out."""
    known: dict[str, object] = {"dataset": datasets, "format": formats, "period": PeriodChoice.values}
    chosen = {name: query[name] for name in known if query.get(name) in known[name]}  # type: ignore[operator]
    return chosen | {name: query[name] for name in ("date_from", "date_to") if name in query}


def offered(user: AbstractBaseUser) -> list[Dataset]:
    """The datasets that `user` may choose from. One whose own code fails is left out and logged; the others stay."""
    found = []
    for dataset in datasets:
        try:
            if dataset.permitted(user):
                found.append(dataset)
        except Exception:
            logger.exception("The dataset %s could not say whether user %s may have it.", dataset.key, user.pk)
    return found


def again_url(export: Export) -> str:
    """The form, filled in as for `export`."""
    query: dict[str, Any] = {"dataset": export.dataset, "format": export.format, "period": export.period_choice}
    if export.period_choice == PeriodChoice.CUSTOM and export.period_start and export.period_end:
        last = export.period_end - timedelta(microseconds=1)
        query["date_from"] = export.period_start.astimezone(export.zone).date()
        query["date_to"] = last.astimezone(export.zone).date()
    return f"{reverse('exports:list')}?{urlencode(query)}"
