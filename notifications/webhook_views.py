"""Pages of a user's own webhooks: add, log, new secret, switch on again, delete. Others' are not found (404)."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from notifications import pages
from notifications.addresses import url_fault
from notifications.api import send_again
from notifications.conf import notification_settings
from notifications.models import Delivery, Webhook

for_users = pages.for_users("notifications:preferences")
SHOW_SECRET = "carryall_show_secret"  # noqa: S105 - the name of a session key
"""Session key with the webhook whose secret the next page shows. The secret itself is not in the session."""


def _mine(request: HttpRequest, pk: int) -> Webhook:
    return get_object_or_404(Webhook.objects.of(request.user.pk), pk=pk)


@for_users
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    url = request.POST.get("url", "").strip()
    limit = notification_settings().webhooks_per_user
    if not limit:
        raise Http404
    fault = url_fault(url)
    if len(url) > 500:
        fault = _("The URL is too long: 500 characters are allowed.")
    if Webhook.objects.of(request.user.pk).count() >= limit:
        fault = _("You have %(limit)s webhooks, which is the limit. Delete one first.") % {"limit": limit}
    if fault:
        return pages.render_page(request, "notifications/webhook_add.html", {"url": url, "fault": fault}, status=422)
    return _show_secret(request, Webhook.objects.create(user_id=request.user.pk, url=url))


@for_users
@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the webhook and its newest requests. The secret is shown once, after it was made."""
    webhook = _mine(request, pk)
    shows = request.session.get(SHOW_SECRET) == webhook.pk
    if shows:
        del request.session[SHOW_SECRET]
    log = webhook.attempts.select_related("delivery__notification").order_by("-at", "-pk")
    context = {"webhook": webhook, "shows_secret": shows, "log": log[: notification_settings().per_page]}
    return pages.render_page(request, "notifications/webhook.html", context)


@for_users
@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    webhook = _mine(request, pk)
    webhook.rotate()
    return _show_secret(request, webhook)


def _show_secret(request: HttpRequest, webhook: Webhook) -> HttpResponse:
    request.session[SHOW_SECRET] = webhook.pk
    return pages.see_other(webhook.get_absolute_url())


@for_users
@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    webhook = _mine(request, pk)
    webhook.resume()
    return pages.see_other(webhook.get_absolute_url())


@for_users
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    _mine(request, pk).delete()
    messages.success(request, _("The webhook was deleted."), fail_silently=True)
    return pages.see_other(reverse("notifications:preferences"))


@for_users
@require_POST
def again(request: HttpRequest, pk: int, delivery_pk: int) -> HttpResponse:
    """Send a delivery of this webhook again, also an accepted one: its ID tells the receiver that it is a copy."""
    webhook = _mine(request, pk)
    delivery = get_object_or_404(Delivery, pk=delivery_pk, channel="webhook", target=str(webhook.pk))
    if webhook.ended_at is None and send_again(delivery, even_if_sent=True):
        messages.success(request, _("It will be sent again."), fail_silently=True)
    return pages.see_other(webhook.get_absolute_url())
