"""One-click unsubscription from the mails of one kind (RFC 8058): a signed URL that works without signing in."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications import pages
from notifications.kinds import DAILY, DAILY_SUMMARY, EMAIL, kinds
from notifications.links import absolute, page_path
from notifications.models import Notification, Preference

SALT = "carryall.unsubscribe"


def headers(notification: Notification) -> dict[str, str]:
    """Return the headers of a mail with which a mail program offers to unsubscribe. Empty for a required kind."""
    if kinds.get(notification.kind).required and notification.kind != DAILY_SUMMARY:
        return {}
    token = signing.dumps([str(notification.user_id), notification.kind], salt=SALT, compress=True)
    url = absolute(page_path("notifications:unsubscribe", token))
    if not url:
        return {}
    one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if url.startswith("https://") else {}
    return {"List-Unsubscribe": f"<{url}>"} | one_click


@csrf_exempt  # mail programs send the POST, without a session
@never_cache
@require_http_methods(["GET", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Switch the mails of one kind off by a POST. A GET only asks: programs that check links must change nothing."""
    try:
        user_pk, key = signing.loads(token, salt=SALT)
    except signing.BadSignature as error:
        raise Http404 from error
    if key not in kinds:
        raise Http404
    if request.method == "POST" and get_user_model()._default_manager.filter(pk=user_pk).exists():
        _switch_off(user_pk, key)
    context = {"kind": kinds.get(key), "done": request.method == "POST"}
    return pages.render_page(request, "notifications/unsubscribe.html", context)


def _switch_off(user_pk: str, key: str) -> None:
    """Switch the mails of one kind off; for the daily summary, everything that would be in it."""
    mine = Preference.objects.filter(user_id=user_pk)
    if key == DAILY_SUMMARY:
        mine.filter(channel=DAILY).update(enabled=False)
    else:
        mine.update_or_create(user_id=user_pk, kind=key, channel=EMAIL, defaults={"enabled": False})
