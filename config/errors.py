"""Error handlers of the site: 503 with Retry-After if the database is not available, else Django's 500."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.defaults import server_error as internal_error

from exports.web.api import endpoint, refusal

RETRY_AFTER = "60"
"""Seconds."""


@endpoint("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
def unknown_api_address(request: HttpRequest, rest: str) -> HttpResponse:
    """Return a JSON response for an address under /api/ that does not exist."""
    return refusal(404, "not_found", _("There is nothing at this address."))


def server_error(request: HttpRequest) -> HttpResponse:
    """The handler500 of the site. Its page runs no query."""
    if not isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return internal_error(request)
    answer = _for_programs() if request.path.startswith(reverse("exports-api:list")) else _for_people()
    answer["Retry-After"], answer["Cache-Control"] = RETRY_AFTER, "no-store"
    return answer


def _for_programs() -> HttpResponse:
    return refusal(503, "database_away", _("The database is not available. Try again in a minute."))


def _for_people() -> HttpResponse:
    return HttpResponse(render_to_string("503.html"), status=503)
