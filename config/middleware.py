"""Middleware of the site."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from notifications.conf import notification_settings


def user_time_zone(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Activate the time zone of the signed-in user."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return get_response(request)
        with timezone.override(notification_settings().zone_of(request.user)):
            return get_response(request)

    return answer
