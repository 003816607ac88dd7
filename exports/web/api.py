"""The JSON API: authenticated by the session of the site. Errors are returned as {"error": {...}}."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, QueryDict
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import reverse
from django.utils.decorators import decorator_from_middleware
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from exports.errors import BadPeriod, BadRequest, ExportError
from exports.forecast.estimates import estimate_request
from exports.forecast.progress import Progress, progress_of, progress_of_many
from exports.intake.choices import ExportRequest, everything_of
from exports.intake.requests import cancel_export, request_export, retry_export
from exports.models import Export
from exports.models.period import PeriodChoice
from exports.states import State
from exports.web.downloads import Gone, download
from exports.web.forms import LISTS, NAMES, OPTION, PARAM, ExportForm, params_in
from exports.web.responses import (
    address,
    files_of,
    own_export,
    page_of_exports,
    signed_in_user,
    status_of,
    with_retry_after,
)

View = Callable[..., HttpResponseBase]
EVERYTHING = "everything"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class BadBody(Exception):
    """Raised if a request cannot be parsed."""

    def __init__(self, code: str, message: str, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.field, self.status = code, message, field, status


def refusal(status: int, code: str, message: str, field: str | None = None) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message, "field": field}}, status=status)


class _JsonCsrf(CsrfViewMiddleware):
    """Django's CSRF check, with a JSON response."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return refusal(403, "csrf", _("The CSRF token is missing or wrong. Send it as X-CSRFToken. %s") % reason)


_csrf_checked = decorator_from_middleware(_JsonCsrf)


def endpoint(*methods: str) -> Callable[[View], View]:
    """Decorate an API view for these methods: 401, 403, 404, 405 and every ExportError are returned as JSON."""

    def decorate(view: View) -> View:
        checked = _csrf_checked(view)

        @transaction.non_atomic_requests  # see notifications.pages.for_users
        @csrf_exempt  # from the site's middleware, which answers with a page; `checked` does the same check
        @never_cache
        @functools.wraps(view)
        def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in methods:
                return _wrong_method(request, methods)
            if not request.user.is_authenticated:
                return refusal(401, "not_signed_in", _("Sign in first: the API uses the session of the site."))
            return _with_json_errors(checked, request, *args, **kwargs)

        return wrapped

    return decorate


def _wrong_method(request: HttpRequest, methods: tuple[str, ...]) -> HttpResponse:
    words = _("%(method)s is not allowed here. Use %(methods)s.")
    known = ", ".join(methods)
    answer = refusal(405, "wrong_method", words % {"method": request.method, "methods": known})
    answer["Allow"] = known
    return answer


def _with_json_errors(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    try:
        return view(request, *args, **kwargs)
    except BadBody as error:
        return refusal(error.status, error.code, error.message, error.field)
    except Http404:
        return refusal(404, "not_found", _("There is no such export."))
    except ExportError as error:
        field = error.field if isinstance(error, BadRequest) else None
        return with_retry_after(refusal(status_of(error), error.code, error.message, field), error)


# --- views ----------------------------------------------------------------------------------------------------------


@endpoint("GET", "HEAD", "POST")
def export_collection(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _request(request)
    page = page_of_exports(request)
    progress = progress_of_many(list(page))
    exports = [as_json(export, progress[export.pk]) for export in page]
    more = f"{reverse('exports-api:list')}?page={page.next_page_number()}" if page.has_next() else None
    return JsonResponse({"exports": exports, "total": page.paginator.count, "next": more})


def _request(request: HttpRequest) -> HttpResponse:
    requested = request_export(signed_in_user(request), _requested(request, _body(request)))
    export = requested.export
    answer = JsonResponse(as_json(export, progress_of(export)) | {"existing": requested.existing}, status=202)
    answer["Location"] = reverse("exports-api:detail", args=[export.uuid])
    return answer


@endpoint("GET", "HEAD")
def export_estimate(request: HttpRequest) -> HttpResponse:
    """Return the estimate for a request. The query takes the same fields as a request."""
    found = estimate_request(signed_in_user(request), _requested(request, _form(request.GET)))
    rows = found.rows
    data = {
        "rows": rows.number if rows else None,
        "rows_are": rows.certainty.value if rows else None,
        "size": found.size,
        "seconds": _seconds(found.seconds),
        "starts_in": _seconds(found.starts_in),
        "ahead": found.ahead,
        "measured": found.measured,
        "tables": list(found.tables),
    }
    return JsonResponse(data)


@endpoint("GET", "HEAD")
def export_item(request: HttpRequest, uuid: UUID) -> HttpResponse:
    export = own_export(request, uuid)
    return JsonResponse(as_json(export, progress_of(export)))


@endpoint("GET", "HEAD")
def export_download(request: HttpRequest, uuid: UUID, number: int = 1) -> HttpResponseBase:
    """Return the same file as the page does, with errors as JSON."""
    return download(own_export(request, uuid), signed_in_user(request), number, body=request.method == "GET")


@endpoint("POST")
def export_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(own_export(request, uuid), cancel_export)


@endpoint("POST")
def export_retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _act(own_export(request, uuid), retry_export)


def _act(export: Export, action: Callable[[Export], None]) -> HttpResponse:
    if export.state == State.EXPIRED:
        raise Gone
    action(export)
    return JsonResponse(as_json(export, progress_of(export)), status=202 if export.is_open else 200)


# --- input ----------------------------------------------------------------------------------------------------------


def _requested(request: HttpRequest, sent: dict[str, Any]) -> ExportRequest:
    """Return the request in the data that was sent. Raises BadBody, BadPeriod and what `everything_of` raises."""
    if EVERYTHING in sent:
        if sent not in ({EVERYTHING: True}, {EVERYTHING: "true"}):
            words = _("everything takes the value true and no other key: it is all of your data, in full.")
            raise BadBody("bad_value", words, EVERYTHING)
        return everything_of(signed_in_user(request))
    form = ExportForm(_with_period(sent))
    if not form.is_valid():
        field, faults = next(iter(form.errors.items()))
        raise BadBody("bad_request", str(faults[0]), field, status=422)
    return form.request


def _body(request: HttpRequest) -> dict[str, Any]:
    """Return the values in the body by name. Raises BadBody."""
    if request.content_type in FORM_TYPES:
        return _form(request.POST)
    if request.content_type == "application/json":
        return _known(_json(request))
    raise BadBody("bad_content_type", _("Send the request as application/json or as a form."))


def _form(sent: QueryDict) -> dict[str, Any]:
    """Return the fields of a form or a query. Lists repeat the name; each of the `options` is option-<name>,
    and each of the `params` param-<name>.
    """
    options = {name.removeprefix(OPTION): sent[name] for name in sent if name.startswith(OPTION)}
    plain = [name for name in sent if name != "csrfmiddlewaretoken" and not name.startswith((OPTION, PARAM))]
    data = {name: sent.getlist(name) if name in LISTS else sent[name] for name in plain}
    params = params_in(sent)
    return _known(data | ({"options": options} if options else {}) | ({"params": params} if params else {}))


def _known(sent: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(sent) - {*NAMES, EVERYTHING}):
        words, known = _("Unknown key %(unknown)s. The known keys are: %(known)s."), ", ".join((*NAMES, EVERYTHING))
        raise BadBody("unknown_key", words % {"unknown": ", ".join(unknown), "known": known}, unknown[0])
    return sent


def _json(request: HttpRequest) -> dict[str, Any]:
    try:
        sent = json.loads(request.body or b"{}")
    except RequestDataTooBig:
        raise BadBody("too_big", _("The body is too large. Send a smaller request.")) from None
    except (ValueError, RecursionError) as error:
        raise BadBody("bad_json", _("The body is not JSON: %s.") % error) from None
    if not isinstance(sent, dict):
        raise BadBody("bad_json", _('The body must be a JSON object, such as {"dataset": "orders", "format": "csv"}.'))
    for name in set(NAMES) - {*LISTS, "options", "params"}:
        if not isinstance(sent.get(name), str | None):
            raise BadBody("bad_value", _("%s must be a string.") % name, name)
    return sent


def _with_period(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return `sent` with its period. Dates alone mean the custom period. Raises BadPeriod for dates with another."""
    dates = any(sent.get(name) for name in ("date_from", "date_to"))
    given = sent.get("period") or (PeriodChoice.CUSTOM if dates else "")
    if dates and given != PeriodChoice.CUSTOM:
        raise BadPeriod(_("date_from and date_to need the period custom. Leave them out, or change the period."))
    return {**sent, "period": str(given)}


# --- output ---------------------------------------------------------------------------------------------------------


def as_json(export: Export, progress: Progress) -> dict[str, Any]:
    """Return an export as JSON data.

    Date-times are ISO 8601 in UTC. `progress` is 0 to 1, or null before the rows are counted. `fields` is null for all
    fields. Durations are in seconds, or null if unknown.
    """
    files = files_of(export)
    return {
        "id": export.uuid,
        "state": export.state,
        "dataset": export.dataset,
        "datasets": export.datasets,
        "team": export.subject_key or None,
        "format": export.format,
        "inside": export.inside,
        "fields": export.fields or None,
        "options": export.options,
        "params": export.params,
        "period": export.period_choice,
        "period_start": _utc(export.period_start),
        "period_end": _utc(export.period_end),
        "time_zone": export.time_zone,
        "requested_at": _utc(export.requested_at),
        "started_at": _utc(export.started_at),
        "finished_at": _utc(export.finished_at),
        "expires_at": _utc(export.expires_at),
        "rows_done": progress.rows_done,
        "rows_total": progress.rows_total,
        "progress": progress.share,
        "ahead": progress.ahead,
        "starts_in": _seconds(progress.starts_in),
        "seconds_left": _seconds(progress.seconds_left),
        "size": export.size,
        "sha256": export.sha256 or None,
        "pages": export.pages,
        "filename": export.filename or None,
        "url": address("exports:detail", args=[export.uuid]),
        "download_url": files[0].download_url if files else None,
        "files": [file._asdict() for file in files],
        "error": {"code": export.error_code, "message": export.error_message} if export.error_code else None,
    }


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC)


def _seconds(seconds: float | None) -> float | None:
    """Round to tenths, but not down to zero if there is time left."""
    return None if seconds is None else max(round(seconds, 1), 0.1) if seconds else 0.0
