"""The pages: the form with the list of exports, and the page of each export with its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Max
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from exports.errors import BadRequest, ExportError, NoPermission, TooMany
from exports.forecast.estimates import Estimate, estimate_request
from exports.forecast.progress import progress_of, progress_of_many
from exports.intake.requests import Requested, cancel_export, request_everything, request_export, retry_export
from exports.models import Export
from exports.states import State
from exports.web import downloads
from exports.web.form_page import change, columns_context, form_context, params_context
from exports.web.forms import ExportForm, again_url, offered, prefill, sent_by_page
from exports.web.responses import (
    PER_PAGE,
    files_of,
    own_export,
    page_of_exports,
    signed_in_user,
    status_of,
    visible_exports,
    with_retry_after,
)
from notifications import pages

for_users = pages.for_users("exports:list")
POLLED_AT_MOST = 2 * PER_PAGE


# --- the form and the list ------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def export_list(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _press(request)
    return pages.render_page(request, "exports/list.html", _form_context(request, None) | _list_context(request))


def _press(request: HttpRequest) -> HttpResponse:
    """Record the request and redirect to its page, without waiting for the work."""
    if "change" in request.POST:
        return _changed(request, request.POST["change"])
    if "everything" in request.POST:
        return _press_everything(request)
    form = ExportForm(sent_by_page(request.POST))
    if not form.is_valid():
        return _refused(request, form, 422)
    try:
        requested = request_export(signed_in_user(request), form.request)
    except ExportError as error:
        form.refuse(error)
        return with_retry_after(_refused(request, form, status_of(error)), error)
    url = _noted(request, requested)
    if pages.by_htmx(request):
        return HttpResponse(status=202, headers={"Location": url, "HX-Redirect": url})
    return pages.see_other(url)


def _press_everything(request: HttpRequest) -> HttpResponse:
    try:
        requested = request_everything(signed_in_user(request))
    except ExportError as error:
        context = _form_context(request, None) | _list_context(request) | {"everything_error": error.message}
        answer = pages.render_page(request, "exports/list.html", context, status=status_of(error))
        return with_retry_after(answer, error)
    return pages.see_other(_noted(request, requested))


def _noted(request: HttpRequest, requested: Requested) -> str:
    """Return the URL of the requested export, with a message if it was under way already."""
    if requested.existing:
        messages.info(request, _("This export was already under way."), fail_silently=True)
    return requested.export.get_absolute_url()


def _refused(request: HttpRequest, form: ExportForm, status: int) -> HttpResponse:
    """Render the form with its errors. carryall.js shows an error response with the HX-Retarget header."""
    context = _form_context(request, form)
    if pages.by_htmx(request):
        answer = render(request, "exports/_form.html", context, status=status)
        answer["HX-Retarget"] = "#carryall-form"
        return answer
    return pages.render_page(request, "exports/list.html", context | _list_context(request), status=status)


def _changed(request: HttpRequest, what: str) -> HttpResponse:
    """Render the page after a press of a column button or the estimate button, for pages without JavaScript."""
    data = change(sent_by_page(request.POST), what, offered(signed_in_user(request)))
    context = _form_context(request, ExportForm(initial=data))
    if what == "estimate":
        context |= _estimate_context(request, ExportForm(data))
    return pages.render_page(request, "exports/list.html", context | {"changed": what} | _list_context(request))


def _form_context(request: HttpRequest, form: ExportForm | None) -> dict[str, Any]:
    return form_context(signed_in_user(request), form or ExportForm(initial=prefill(request.GET)))


@require_safe
@for_users
def form_columns(request: HttpRequest) -> HttpResponse:
    """Render the columns and the parameters of the datasets selected in the form."""
    user, data = signed_in_user(request), sent_by_page(request.GET)
    known = offered(user)
    context = columns_context(known, data) | params_context(known, user, data)
    return render(request, "exports/_chosen.html", context)


@require_safe
@for_users
def form_estimate(request: HttpRequest) -> HttpResponse:
    """Render the estimate for the choices in the form."""
    return render(request, "exports/_estimate.html", _estimate_context(request, ExportForm(sent_by_page(request.GET))))


def _estimate_context(request: HttpRequest, form: ExportForm) -> dict[str, Any]:
    """Return the estimate, or the reason why there is none, which is the error of a request too."""
    if not form.is_valid():
        return {"no_estimate": next(iter(form.errors.values()))[0]}
    try:
        return {"estimate": estimate_request(signed_in_user(request), form.request)}
    except (BadRequest, NoPermission) as error:
        return {"no_estimate": error.message}
    except ExportError as error:
        status_of(error)  # logs it
        return {"estimate": Estimate()}


def _list_context(request: HttpRequest) -> dict[str, Any]:
    page = page_of_exports(request)
    return {"page": page} | _rows_context(list(page))


def _rows_context(exports: list[Export]) -> dict[str, Any]:
    progress = progress_of_many(exports)
    rows = [(export, progress[export.pk], again_url(export)) for export in exports]
    return {"rows": rows, "open": [str(export.uuid) for export in exports if export.is_open]}


@require_safe
@for_users
def open_rows(request: HttpRequest) -> HttpResponse:
    """Render the current rows of the exports that the page shows as open. htmx replaces each row."""
    mine = visible_exports(request)
    wanted = _uuids(request.GET.getlist("open")[:POLLED_AT_MOST])
    found = mine.filter(uuid__in=wanted).recent_first().prefetch_related("owner", "volumes")
    exports = list(found) if wanted else []
    return render(request, "exports/_rows.html", _rows_context(exports))


def _uuids(texts: list[str]) -> list[UUID]:
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


# --- one export -----------------------------------------------------------------------------------------------------


@require_safe
@for_users
def export_detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return pages.render_page(request, "exports/detail.html", _export_context(own_export(request, uuid)))


@require_safe
@for_users
def export_progress(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Render the progress of an export, or its whole section if the state differs from `?seen=`."""
    export = own_export(request, uuid)
    context = _export_context(export)
    if request.GET.get("seen") == export.state:
        return render(request, "exports/_progress.html", context)
    answer = render(request, "exports/_changed.html", context)
    answer["HX-Retarget"], answer["HX-Reswap"] = "#carryall-export", "outerHTML"
    return answer


def _export_context(export: Export) -> dict[str, Any]:
    files = files_of(export)
    context: dict[str, Any] = {
        "export": export,
        "progress": progress_of(export),
        "again_url": again_url(export),
        "files": files,
        "size": sum(file.size or 0 for file in files) or export.size,
    }
    if export.state in (State.READY, State.EXPIRED):
        complete = export.downloads.filter(finished_at__isnull=False)
        context["fetched"] = complete.aggregate(times=Count("pk"), last=Max("finished_at"))
    return context


@require_safe
@for_users
def export_download(request: HttpRequest, uuid: UUID, number: int = 1) -> HttpResponseBase:
    """Return the file of an export, or file `number` of a split bundle."""
    export = own_export(request, uuid)
    try:
        return downloads.download(export, signed_in_user(request), number, body=request.method == "GET")
    except ExportError as error:
        status = status_of(error)
        context = {"export": export, "again_url": again_url(export), "error": error, "status": status}
        return with_retry_after(pages.render_page(request, "exports/no_file.html", context, status=status), error)


@require_POST
@for_users
def export_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(request, own_export(request, uuid), cancel_export, _("The export was cancelled."))


@require_POST
@for_users
def export_retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(request, own_export(request, uuid), retry_export, _("The export will be retried."))


def _act(request: HttpRequest, export: Export, action: Callable[[Export], None], done: str) -> HttpResponse:
    """Run the action and redirect to the page of the export with a message."""
    try:
        action(export)
    except TooMany as error:
        messages.warning(request, error.message, fail_silently=True)
        return with_retry_after(
            pages.render_page(request, "exports/detail.html", _export_context(export), status=status_of(error)), error
        )
    except ExportError as error:
        messages.warning(request, error.message, fail_silently=True)
    else:
        messages.success(request, done, fail_silently=True)
    return pages.see_other(export.get_absolute_url())
