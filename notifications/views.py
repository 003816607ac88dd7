"""Pages of a user's own notifications: list, redirect to the link, bell, preferences. Others' are not found (404)."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseStopPolling

from notifications import links, pages
from notifications.api import is_local
from notifications.bell import Bell
from notifications.channels import channels
from notifications.conf import notification_settings
from notifications.forms import PreferencesForm, QuietHoursForm
from notifications.models import Notification, NotificationQuerySet

for_users = pages.for_users("notifications:list")


def _mine(request: HttpRequest) -> NotificationQuerySet:
    return Notification.objects.of(request.user.pk)


@for_users
@require_GET
def notification_list(request: HttpRequest) -> HttpResponse:
    found = Paginator(_mine(request).in_app().recent_first(), notification_settings().per_page)
    page = found.get_page(request.GET.get("page"))
    context = {"page": page, "unread": _mine(request).in_app().unread().exists()}
    return pages.render_page(request, "notifications/list.html", context)


@for_users
@require_http_methods(["GET", "POST"])
def open_notification(request: HttpRequest, pk: int) -> HttpResponse:
    """Mark a notification as read and redirect to its link. A GET is fine for this, as viewing is reading."""
    notification = get_object_or_404(_mine(request), pk=pk)
    _mine(request).filter(pk=pk).mark_read()
    link = links.here(notification.link)
    return pages.see_other(link if notification.link and is_local(link) else reverse("notifications:list"))


@for_users
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    _mine(request).mark_read()
    return pages.see_other(reverse("notifications:list"))


@require_GET
@never_cache
def bell(request: HttpRequest) -> HttpResponse:
    """Render the bell for the polling by htmx, which is stopped after the end of the session."""
    if not request.user.is_authenticated:
        return HttpResponseStopPolling()
    return render(request, "notifications/bell.html", {"bell": Bell(request.user.pk)})


@for_users
@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        parts = [part for channel in channels if (part := channel.preferences(request))]
        form = PreferencesForm(request.user)
        quiet = QuietHoursForm(request.user.pk) if any(channel.quiet for channel in form.channels) else None
        context = {"form": form, "parts": parts, "quiet": quiet}
        return pages.render_page(request, "notifications/preferences.html", context)
    form = PreferencesForm(request.user, request.POST)
    if form.is_valid():  # always: a missing checkbox means no
        form.save()
        messages.success(request, _("Your preferences were saved."), fail_silently=True)
    return pages.see_other(reverse("notifications:preferences"))
