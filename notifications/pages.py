"""What the pages of both apps share: signed-in users only, their own time zone, and the site's base template."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from notifications.conf import notification_settings

View = Callable[..., HttpResponseBase]
SITES, OWN = "base.html", "exports/standalone.html"
"""The base template of most sites, and the one that is used if there is none."""


def for_users(home: str) -> Callable[[View], View]:
    """Return a decorator for views that need a signed-in user.

    The view is never cached, shows dates in the user's time zone, and runs outside of ATOMIC_REQUESTS: what a request
    wrote must be committed when its response says so, and a failed query of a dataset must not fail the whole page.
    If the session ended before a POST, signing in leads to the page named `home`.
    """

    def decorate(view: View) -> View:
        @transaction.non_atomic_requests
        @never_cache
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_login(request, home)
            with timezone.override(notification_settings().zone_of(request.user)):
                return view(request, *args, **kwargs)

        return guarded

    return decorate


def _to_login(request: HttpRequest, home: str) -> HttpResponse:
    if by_htmx(request):  # reload the whole page, so that the sign-in page does not replace a fragment
        return HttpResponse(status=401, headers={"HX-Refresh": "true"})
    back = request.get_full_path() if request.method in ("GET", "HEAD") else reverse(home)
    return redirect_to_login(back)


def by_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def see_other(url: str) -> HttpResponse:
    """Redirect with 303, so that the browser continues with a GET after a POST."""
    return HttpResponseRedirect(url, status=303)


def render_page(
    request: HttpRequest, template: str, context: Mapping[str, Any], status: int | None = None
) -> HttpResponse:
    """Render a whole page: a template that extends exports/base.html.

    The site's base template does not see `context`, whose names may also be those of its own variables: it is the
    value of one variable, which `{% carryall_page %}` opens.
    """
    return render(request, template, {"carryall_base": base_template(), "carryall": context}, status=status)


def base_template() -> str:
    """Return the name of the template that exports/base.html extends."""
    return notification_settings().base_template or (SITES if _exists(SITES) else OWN)


def _exists(name: str) -> bool:
    """Return whether the template engine of our pages has this template. Another engine's cannot be extended."""
    engine: Any = get_template(OWN)
    try:
        engine.backend.engine.get_template(name)
    except TemplateDoesNotExist:
        return False
    return True
