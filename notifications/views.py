"""Pages of a user's own notifications: list, redirect to the link, bell, preferences. Others' are not found (404)."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseStopPolling

from notifications.api import is_local
from notifications.conf import notification_settings
from notifications.forms import PreferencesForm
from notifications.models import Notification, NotificationQuerySet


def _mine(request: HttpRequest) -> NotificationQuerySet:
    return Notification.objects.of(request.user.pk or 0)


def _see_other(path: str) -> HttpResponse:
    """Redirect with 303, so that the browser continues with a GET after a POST."""
    return HttpResponseRedirect(path, status=303)


@login_required
@require_GET
@never_cache
def notification_list(request: HttpRequest) -> HttpResponse:
    pages = Paginator(_mine(request).in_app().recent_first(), notification_settings().per_page)
    return render(request, "notifications/list.html", {"page": pages.get_page(request.GET.get("page"))})


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def open_notification(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark a notification as read and redirect to its link. A GET is fine for this, as viewing is reading."""
    notification = get_object_or_404(_mine(request), pk=pk)
    _mine(request).filter(pk=pk).mark_read()
    return _see_other(notification.link if is_local(notification.link) else reverse("notifications:list"))


@login_required
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    _mine(request).mark_read()
    return _see_other(reverse("notifications:list"))


@require_GET
@never_cache
def bell(request: HttpRequest) -> HttpResponse:
    """Render the bell for the polling by htmx, which is stopped after the end of the session."""
    if not request.user.is_authenticated:
        return HttpResponseStopPolling()
    return render(request, "notifications/bell.html")


@login_required
@require_http_methods(["GET", "POST"])
@never_cache
def preferences(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "notifications/preferences.html", {"form": PreferencesForm(request.user)})
    form = PreferencesForm(request.user, request.POST)
    if form.is_valid():  # always: a missing checkbox means no
        form.save()
        messages.success(request, _("Your preferences were saved."))
    return _see_other(reverse("notifications:preferences"))
