"""The admin's form with which staff export the data of another user, who is told."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from exports.datasets import datasets
from exports.datasets.access import FOR_OTHERS
from exports.formats import Format, formats
from exports.intake.choices import ExportRequest
from exports.models.period import PeriodChoice
from exports.web.admin_page import AdminExportForm, page


class OnBehalfForm(AdminExportForm):
    """Whose data, which data, and the format. All rows of every period are exported."""

    names: ClassVar = {"dataset": "chosen"}

    subject = forms.CharField(label=gettext_lazy("Whose data"))
    chosen = forms.MultipleChoiceField(label=gettext_lazy("Data"), widget=forms.CheckboxSelectMultiple)
    format = forms.ChoiceField(label=gettext_lazy("Format"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        users: Any = get_user_model()
        self.fields["subject"].help_text = capfirst(users._meta.get_field(users.USERNAME_FIELD).verbose_name)
        own = [(each.key, str(each.label)) for each in datasets if each.personal and each.owner_model is None]
        self.fields["chosen"].choices = own  # type: ignore[attr-defined]
        kinds = sorted(formats, key=lambda kind: isinstance(kind, Format))  # the bundle first: it takes all data
        self.fields["format"].choices = [(kind.key, str(kind.label)) for kind in kinds]  # type: ignore[attr-defined]

    def clean_subject(self) -> Any:
        users = get_user_model()
        try:
            return users._default_manager.get_by_natural_key(self.cleaned_data["subject"])
        except users.DoesNotExist:
            raise ValidationError(_("There is no such user.")) from None

    @property
    def request(self) -> ExportRequest:
        return ExportRequest(self.cleaned_data["chosen"], self.cleaned_data["format"], period=PeriodChoice.ALL)


class OnBehalf:
    """Mixin for the admin of exports: "Add" exports the data of another user."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(FOR_OTHERS)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        self_: Any = self
        if not self.has_add_permission(request):
            return HttpResponse(_("You have no permission to export the data of other users."), status=403)
        form: Any = OnBehalfForm(request.POST or None)
        subject = form.cleaned_data["subject"] if form.is_valid() else None
        if subject is not None and (export := form.requested(request, form.request, subject=subject)):
            words = _("The export was requested, and %(subject)s is told. You are notified when it is ready.")
            messages.success(request, words % {"subject": subject})
            return HttpResponseRedirect(reverse("admin:exports_export_change", args=[export.pk]))
        lead = _("You get the file. The user is told that you have requested it.")
        return page(self_, request, form, title=_("Export the data of a user"), lead=lead)
