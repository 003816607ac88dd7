"""Actions for the admin pages of other models: export the selected rows, or all rows that match the list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from django import forms
from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IS_FACETS_VAR, IS_POPUP_VAR, IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.contrib.messages import MessageFailure
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from exports.datasets import AUTO, Dataset, Param, datasets, filtering
from exports.datasets.access import FOR_OTHERS
from exports.datasets.params import WordedField
from exports.errors import BadParam
from exports.formats import formats
from exports.intake.choices import ExportRequest
from exports.models import Export
from exports.models.period import PeriodChoice
from exports.web.admin_page import AdminExportForm, page
from notifications.links import here, page_path

SELECTED, MATCHING = "export_selected", "export_matching"
"""Names of the actions."""
MOST_LETTERS = 100_000
"""Maximum length of the keys of the selected rows, and of the query of a list."""
NOT_FILTERS = (ALL_VAR, IS_FACETS_VAR, IS_POPUP_VAR, ORDER_VAR, PAGE_VAR)
"""Names in the query of a list that do not change which rows it has."""
WRONG_QUERY = (IncorrectLookupParameters, DisallowedModelAdminLookup, ValidationError, MessageFailure, ValueError)
"""What the admin raises for the query of a list: MessageFailure if it cannot show an error of the search form."""


class ExportSelectedMixin:
    """Mixin for a ModelAdmin: its list gets the actions "Export selected" and "Export all that match".

    The export is made by workers, which read the rows again as the list shows them to the same user. So `get_queryset`,
    the filters and the search may use `user` and `GET` of the request, and nothing else of it.
    """

    export_columns: Sequence[Any] = AUTO
    """As `columns` of a dataset."""
    export_exclude: Collection[str] = ()
    """As `exclude` of a dataset: fields that AUTO leaves out."""
    export_label: str | Promise | None = None
    """The name of the data; by default, the plural name of the model."""

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)  # type: ignore[call-arg]
        self.export_dataset = _dataset_of(self)()
        datasets.add(self.export_dataset)

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Allow exports to users who may view the rows, and may export the data of other users."""
        self_: Any = self
        return self_.has_view_permission(request) and request.user.has_perm(FOR_OTHERS)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        parent: Any = super()
        actions: dict[str, Any] = parent.get_actions(request)
        if IS_POPUP_VAR in request.GET or not self.has_export_permission(request):
            return actions
        both = (
            (_export_selected, SELECTED, gettext_lazy("Export selected %(verbose_name_plural)s")),
            (_export_matching, MATCHING, gettext_lazy("Export all %(verbose_name_plural)s that match")),
        )
        return actions | {name: (action, name, words) for action, name, words in both}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or run an action. "Export all that match" runs here: the admin requires selected rows."""
        if _pressed(request) == MATCHING and MATCHING in self.get_actions(request):
            return _export_matching(self, request)
        parent: Any = super()
        answer: HttpResponse = parent.changelist_view(request, extra_context)
        return answer

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        parent: Any = super()
        kind: type[Any] = parent.get_changelist(request, **kwargs)
        return type(kind.__name__, (_Uncounted, kind), {}) if isinstance(request, _ListRequest) else kind


# --- the page of an action --------------------------------------------------------------------------------------------


class RowsForm(AdminExportForm):
    """The format and the columns of an export from the admin."""

    names: ClassVar = {"fields": "columns"}

    format = forms.ChoiceField(label=gettext_lazy("Format"))
    columns = forms.MultipleChoiceField(label=gettext_lazy("Columns"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, dataset: Dataset, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dataset = dataset.key
        pairs = [(column.name, str(column.label)) for column in dataset.columns]
        self.fields["columns"].choices = pairs  # type: ignore[attr-defined]
        self.fields["columns"].initial = [name for name, _label in pairs]
        self.fields["format"].choices = [(kind.key, str(kind.label)) for kind in formats]  # type: ignore[attr-defined]

    def request(self, params: Mapping[str, str]) -> ExportRequest:
        """Return the request of a valid form for the rows that `params` select."""
        kind, columns = self.cleaned_data["format"], self.cleaned_data["columns"]
        return ExportRequest(self._dataset, kind, fields=columns, period=PeriodChoice.ALL, params=params)


def _pressed(request: HttpRequest) -> str:
    """Return the action whose button was pressed: a list may have two forms for actions, above and below the rows."""
    chosen = request.POST.getlist("action")
    index = request.POST.get("index", "0")
    return chosen[int(index)] if index.isdecimal() and int(index) < len(chosen) else ""


def _export_selected(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
    if request.POST.get("select_across") == "1":
        return _export_matching(model_admin, request)
    keys = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
    hidden = [("action", SELECTED), *((helpers.ACTION_CHECKBOX_NAME, key) for key in keys)]
    return _page(model_admin, request, queryset, {"selected": filtering.as_line(keys)}, hidden)


def _export_matching(model_admin: Any, request: HttpRequest, _queryset: object = None) -> HttpResponse:
    query = request.GET.copy()
    for name in NOT_FILTERS:
        query.pop(name, None)
    rows = model_admin.get_changelist_instance(_ListRequest(request.user, query.urlencode())).queryset
    return _page(model_admin, request, rows, {"matching": query.urlencode()}, [("action", MATCHING)])


def _page(
    model_admin: Any,
    request: HttpRequest,
    rows: QuerySet[Any],
    params: Mapping[str, str],
    hidden: Sequence[tuple[str, str]],
) -> HttpResponse:
    """Return the page that asks for the format, or request the export and redirect to its page."""
    dataset: AdminRows = model_admin.export_dataset
    form = RowsForm(dataset, request.POST if "apply" in request.POST else None)
    if form.is_valid() and (export := form.requested(request, form.request(params))):
        return HttpResponseRedirect(_page_of(export))
    count = rows.count()
    words = ngettext("Export %(count)s row: %(label)s", "Export %(count)s rows: %(label)s", count)
    title = words % {"count": number_format(count, force_grouping=True), "label": dataset.label}
    lead = _("The file is made in the background. You are notified when it is ready.")
    return page(model_admin, request, form, title=title, lead=lead, hidden=hidden)


def _page_of(export: Export) -> str:
    path = page_path("exports:detail", export.uuid)
    return here(path) if path else reverse("admin:exports_export_change", args=[export.pk])


# --- the dataset ------------------------------------------------------------------------------------------------------


class _ListRequest(HttpRequest):
    """A request for a list in the admin, for workers to read the rows that it shows to `user`."""

    def __init__(self, user: Any, query: str = "") -> None:
        super().__init__()
        self.method, self.user, self.GET = "GET", user, QueryDict(query)


class _Uncounted:
    """Mixin for a ChangeList whose rows are neither counted nor shown."""

    def get_results(self, _request: HttpRequest) -> None:
        """Do nothing."""


class AdminRows(Dataset):
    """The rows of a list in the admin, as it shows them to the owner of the export."""

    personal = False
    model_admin: ClassVar[Any]

    def permitted(self, user: Any) -> bool:
        request = _ListRequest(user)
        allowed: bool = self.model_admin.admin_site.has_permission(request)
        return allowed and self.model_admin.has_export_permission(request)

    def queryset(self, user: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model_admin.get_queryset(_ListRequest(user))
        return rows

    def filtered(self, user: Any, params: Mapping[str, str]) -> QuerySet[Any]:
        """Return the selected rows if `params` has their keys, else those of the list with the query in `params`."""
        try:
            if selected := params.get("selected"):
                return self.queryset(user).filter(pk__in=filtering.split(selected))
            found = self.model_admin.get_changelist_instance(_ListRequest(user, params.get("matching", ""))).queryset
        except WRONG_QUERY as error:
            words = _("The list in the admin cannot be filtered like this any more: filter it again.")
            raise BadParam.of("matching", words) from error
        return filtering.restricted(self.key, self.queryset(user), found, "the list in the admin")

    def filter(self, rows: QuerySet[Any], params: Mapping[str, Any]) -> QuerySet[Any]:
        """Return `rows`: the filters of a list depend on its user, so `filtered` applies them."""
        return rows


@dataclass(frozen=True)
class _OfList(Param):
    """A parameter that the admin fills in."""

    words: Callable[[str], str] = field(kw_only=True)

    def form_field(self) -> forms.Field:
        return WordedField(self.words, required=False, max_length=MOST_LETTERS, strip=False)

    def specimen(self) -> str:
        return ""


def _count(keys: str) -> str:
    count = len(filtering.split(keys))
    return ngettext("%d row", "%d rows", count) % count


def _filters(query: str) -> str:
    """Return the query of a list for people: "status = open, tea" for `status__exact=open&q=tea`."""
    pairs = [(name.removesuffix("__exact"), value) for name, value in parse_qsl(query)]
    return ", ".join(value if name == SEARCH_VAR else f"{name} = {value}" for name, value in pairs)


def _dataset_of(model_admin: Any) -> type[AdminRows]:
    """Return the dataset of the lists of this ModelAdmin."""
    opts = model_admin.model._meta
    return type(
        f"{opts.object_name}InAdmin",
        (AdminRows,),
        {
            "key": f"{model_admin.admin_site.name}-{opts.app_label}-{opts.model_name}",
            "label": model_admin.export_label or capfirst(opts.verbose_name_plural),
            "model": model_admin.model,
            "columns": model_admin.export_columns,
            "exclude": model_admin.export_exclude,
            "params": [
                _OfList("selected", label=gettext_lazy("Selected"), words=_count),
                _OfList("matching", label=gettext_lazy("Filters"), words=_filters),
            ],
            "model_admin": model_admin,
        },
    )
