"""Middleware and context processor of the host."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

POLICY = "default-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'"


def strict_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return answer


def options(request: HttpRequest) -> dict[str, Any]:
    """Provide the choices of a test, from cookies, and variables with names that our pages use as well."""
    choices = {name.removeprefix("host-"): value for name, value in request.COOKIES.items() if name.startswith("host-")}
    return {"choices": choices, "page": {"title": "Page of the shop"}, "options": "Options of the shop"}
