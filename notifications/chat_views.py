"""A user's own addresses of chats, and their quiet hours."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from notifications import pages
from notifications.channels.chat import is_allowed, service_of
from notifications.conf import notification_settings
from notifications.forms import QuietHoursForm
from notifications.models import ChatAddress

for_users = pages.for_users("notifications:preferences")
MOST = 5
"""Maximum number of addresses of a user."""


@for_users
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    url = request.POST.get("url", "").strip()
    schemes = notification_settings().chat_schemes
    if not schemes:
        raise Http404
    fault = ""
    if not is_allowed(url) or len(url) > 500 or service_of(url) is None:
        known = ", ".join(f"{scheme}://" for scheme in schemes)
        fault = _("This is no address of a chat. Enter a URL of Apprise that starts with one of: %s") % known
    elif ChatAddress.objects.of(request.user.pk).count() >= MOST:
        fault = _("You have %(limit)s addresses, which is the limit. Delete one first.") % {"limit": MOST}
    if fault:
        context = {"url": url, "fault": fault, "schemes": schemes}
        return pages.render_page(request, "notifications/chat_add.html", context, status=422)
    assert request.user.is_authenticated
    ChatAddress.objects.create(user=request.user, url=url)
    messages.success(request, _("The address was added. Choose what it gets."), fail_silently=True)
    return pages.see_other(reverse("notifications:preferences"))


@for_users
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(ChatAddress.objects.of(request.user.pk), pk=pk).delete()
    return pages.see_other(reverse("notifications:preferences"))


@for_users
@require_POST
def quiet_hours(request: HttpRequest) -> HttpResponse:
    form = QuietHoursForm(request.user.pk, request.POST)
    if not form.is_valid():
        return pages.render_page(request, "notifications/quiet_hours.html", {"quiet": form}, status=422)
    form.save()
    messages.success(request, _("Your quiet hours were saved."), fail_silently=True)
    return pages.see_other(reverse("notifications:preferences"))
