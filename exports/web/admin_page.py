"""The page of the admin that asks staff what to export: the data of a user, or rows of a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib.admin import helpers
from django.http import HttpRequest
from django.template.response import TemplateResponse

from exports.errors import BadRequest, ExportError
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.web.responses import signed_in_user, status_of


class AdminExportForm(forms.Form):
    """Base class of the page's forms."""

    names: ClassVar[Mapping[str, str]] = {}
    """Field of a request -> field of the form, where they differ."""

    def requested(self, http: HttpRequest, request: ExportRequest, *, subject: Any = None) -> Export | None:
        """Return the export that the member of staff requests, or None with the reason added to the form."""
        try:
            return request_export(signed_in_user(http), request, subject=subject).export
        except ExportError as error:
            status_of(error)  # logs it
            field = self.names.get(error.field or "", error.field) if isinstance(error, BadRequest) else None
            self.add_error(field if field in self.fields else None, error.message)
            return None


def page(
    model_admin: Any,
    request: HttpRequest,
    form: AdminExportForm,
    *,
    title: str,
    lead: str,
    hidden: Sequence[tuple[str, str]] = (),
) -> TemplateResponse:
    """Return the page. `hidden` are names and values that it sends back beside those of the form."""
    admin_form: Any = form  # AdminForm is typed for forms of models
    context = model_admin.admin_site.each_context(request) | {
        "title": title,
        "lead": lead,
        "opts": model_admin.opts,
        "adminform": helpers.AdminForm(admin_form, [(None, {"fields": list(form.fields)})], {}),
        "errors": form.errors,
        "hidden": hidden,
    }
    return TemplateResponse(request, "exports/admin/export.html", context)
