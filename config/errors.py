"""What is answered when a request breaks off. A database that is away is no fault of the page: 503, and come back."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.defaults import server_error as fault_of_ours

from exports.web.api import refusal

RETRY_AFTER = "60"
"""Seconds that whoever asks should wait."""


def server_error(request: HttpRequest) -> HttpResponse:
    """The site's handler500. Its page asks the database nothing."""
    if not isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        return fault_of_ours(request)
    answer = _for_programs() if request.path.startswith(reverse("exports:api-list")) else _for_people()
    answer["Retry-After"], answer["Cache-Control"] = RETRY_AFTER, "no-store"
    return answer


def _for_programs() -> HttpResponse:
    return refusal(503, "database_away", _("The database does not answer just now; please try again in a minute."))


def _for_people() -> HttpResponse:
    return HttpResponse(render_to_string("503.html"), status=503)
