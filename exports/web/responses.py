"""Helpers shared by the pages and the API: access to exports and files, and the HTTP status of each error."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import NoReverseMatch, reverse

from durable import log_fields
from exports.datasets.access import visible_to
from exports.errors import BadRequest, ExportError, NoPermission, TooMany, UnfitDataset, WrongState
from exports.formats import content_type_of
from exports.models import Export, ExportQuerySet
from exports.states import State
from exports.web.downloads import Gone, NotReady

logger = logging.getLogger(__name__)
PER_PAGE = 20

_STATUS: tuple[tuple[type[ExportError], int], ...] = (
    (BadRequest, 422),
    (TooMany, 429),
    (NoPermission, 403),
    (Gone, 410),
    (NotReady, 409),
    (WrongState, 409),
    (UnfitDataset, 500),
)


def status_for(kind: type[ExportError]) -> int:
    """Return the HTTP status for a class of errors."""
    return next((status for each, status in _STATUS if issubclass(kind, each)), 503)


def status_of(error: ExportError) -> int:
    """Return the HTTP status for an error. Server errors are logged: 500 if permanent, 503 if temporary."""
    status = status_for(type(error))
    if status >= 500:
        cause = error.__cause__ or error
        logger.error("A request was answered with %d (%s): %r", status, error.code, cause, exc_info=error)
    return status


def with_retry_after(answer: HttpResponse, error: ExportError) -> HttpResponse:
    """Set the Retry-After header if waiting helps. Return `answer`."""
    if error.retry_after is not None:
        answer["Retry-After"] = str(error.retry_after)
    return answer


def signed_in_user(request: HttpRequest) -> AbstractBaseUser:
    """Return the user. Only for views that have rejected anonymous users."""
    assert request.user.is_authenticated
    return request.user


def visible_exports(request: HttpRequest) -> ExportQuerySet:
    """Return the exports that the user may see: their own, and those of their teams."""
    return Export.objects.filter(visible_to(signed_in_user(request)))


def own_export(request: HttpRequest, uuid: UUID) -> Export:
    """Return an export that the user may see. Raises Http404 for other users' exports as for unknown ones."""
    export = get_object_or_404(visible_exports(request), uuid=uuid)
    log_fields.put(export.log_fields())
    return export


def page_of_exports(request: HttpRequest) -> Page[Export]:
    """Return the page `?page=` of the user's exports, newest first. A wrong number returns the nearest page."""
    mine = visible_exports(request).recent_first()
    page: Page[Any] = Paginator(mine.values_list("pk", flat=True), PER_PAGE).get_page(request.GET.get("page"))
    # The rows before a deep page are skipped in the index; only the rows of the page are read.
    page.object_list = list(mine.filter(pk__in=list(page.object_list)).prefetch_related("owner", "volumes"))
    return page


class File(NamedTuple):
    """One finished file of an export. A split bundle has several."""

    filename: str
    size: int | None
    sha256: str
    content_type: str
    download_url: str | None


def address(*names: str, args: Sequence[object]) -> str | None:
    """Return the URL of the first of `names` that the site's URLs include, or None."""
    for name in names:
        with suppress(NoReverseMatch):
            return reverse(name, args=args)
    return None


def files_of(export: Export) -> list[File]:
    """Return the files that can be downloaded now, in order; an empty list unless the export is ready."""
    if export.state != State.READY:
        return []
    first = address("exports:download", "exports-api:download", args=[export.uuid])
    volumes = ("exports:download-volume", "exports-api:download-volume")
    others = [address(*volumes, args=[export.uuid, each.index]) for each in export.volumes.all()]
    return [
        File(file.filename, file.size, file.sha256, content_type_of(file.filename), url)
        for file, url in zip(export.files, [first, *others], strict=True)
    ]
