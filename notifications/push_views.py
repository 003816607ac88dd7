"""What browsers need for push messages: the service worker, and the subscriptions of a user's own browsers."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from notifications import pages
from notifications.addresses import url_fault
from notifications.channels.push import from_base64url
from notifications.models import PushSubscription

for_users = pages.for_users("notifications:preferences")
MOST = 10
"""Maximum number of browsers of a user. A further one replaces the oldest."""
BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iOS",
    "iPad": "iOS",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}
"""Part of a User-Agent header -> name. The first that occurs counts: Chrome also names Safari, and Edge both."""


@never_cache
@require_GET
def worker(request: HttpRequest) -> HttpResponse:
    """Serve the service worker. Browsers fetch it again by themselves, without a session as well."""
    return render(request, "notifications/worker.js", content_type="text/javascript")


@for_users
@require_POST
def subscribe(request: HttpRequest) -> HttpResponse:
    endpoint, p256dh, auth = (request.POST.get(name, "") for name in ("endpoint", "p256dh", "auth"))
    if len(endpoint) > 1000 or url_fault(endpoint) or not _are_keys(p256dh, auth):
        return HttpResponseBadRequest(_("The browser sent a subscription that cannot be used."))
    browser = browser_of(request.headers.get("User-Agent", ""))
    fields = {"user_id": request.user.pk, "p256dh": p256dh, "auth": auth, "browser": browser}
    PushSubscription.objects.update_or_create(endpoint=endpoint, defaults=fields)
    mine = PushSubscription.objects.of(request.user.pk)
    mine.exclude(pk__in=list(mine.order_by("-pk").values_list("pk", flat=True)[:MOST])).delete()
    messages.success(request, _("This browser will show your notifications."), fail_silently=True)
    return pages.see_other(reverse("notifications:preferences"))


@for_users
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(PushSubscription.objects.of(request.user.pk), pk=pk).delete()
    return pages.see_other(reverse("notifications:preferences"))


def _are_keys(p256dh: str, auth: str) -> bool:
    """Return whether these are a point on the curve P-256 and a secret of 16 bytes, in base64url (RFC 8291)."""
    from cryptography.hazmat.primitives.asymmetric import ec  # of the extra `push`

    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(p256dh))
        return len(from_base64url(auth)) == 16
    except ValueError:
        return False


def browser_of(agent: str) -> str:
    """Return the browser and the system of a User-Agent header, as "Firefox, Linux"."""
    found = (next((name for part, name in names.items() if part in agent), "") for names in (BROWSERS, SYSTEMS))
    return ", ".join(filter(None, found))
