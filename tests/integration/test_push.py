"""Tests of push messages: a push service that receives them, a browser that decrypts them, and the preferences."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import http_ece
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from py_vapid import Vapid02

from notifications import checks
from notifications.channels import channels
from notifications.channels.push import from_base64url, public_key
from notifications.delivery import deliver
from notifications.models import Delivery, Notification, Preference, PushSubscription
from notifications.push_views import browser_of
from tests.support.browser_keys import BrowserKeys, base64url, new_key
from tests.support.notices import make_user, tell
from tests.support.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db
State = Delivery.State
PREFERENCES, SUBSCRIBE = "/notifications/preferences/", "/notifications/push/subscribe/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {
        "VAPID_PRIVATE_KEY": new_key(), "VAPID_CONTACT": "mailto:keeper@example.com",
        "WEBHOOK_ALLOW_HTTP": True, "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"],
    }  # fmt: skip


@pytest.fixture
def service() -> Iterator[Receiver]:
    """A push service."""
    with receiving() as running:
        running.status = 201
        yield running


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


@pytest.fixture
def browser(signed_in: Client, service: Receiver) -> BrowserKeys:
    """A browser that the user has subscribed."""
    browser = BrowserKeys()
    answer = signed_in.post(SUBSCRIBE, {"endpoint": service.url, **browser.public}, headers={"User-Agent": FIREFOX})
    assert (answer.status_code, answer["Location"]) == (303, PREFERENCES)
    return browser


def attempted(notification: Notification) -> Delivery:
    """Return the delivery after one attempt."""
    delivery = notification.deliveries.get(channel="push")
    deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def test_the_browser_can_read_its_message(user: User, browser: BrowserKeys, service: Receiver) -> None:
    notification = tell(user, "export_ready", context={"dataset_label": "Замовлення 注文 <b>"})
    delivery = attempted(notification)
    assert (delivery.state, delivery.error_message) == (State.SENT, "")
    [received] = service.received
    assert browser.read(received.body) == {
        "title": "Your export is ready: Замовлення 注文 <b>",
        "body": notification.text,
        "tag": delivery.message_id.hex,
        "data": f"http://127.0.0.1:8000/notifications/{notification.pk}/open/",
    }
    assert (received.headers["Content-Encoding"], received.headers["TTL"]) == ("aes128gcm", "86400")
    assert received.headers["Topic"] == delivery.message_id.hex
    assert "注文".encode() not in received.body


def test_another_browser_cannot_read_it(user: User, browser: BrowserKeys, service: Receiver) -> None:
    attempted(tell(user))
    with pytest.raises(http_ece.ECEException):
        BrowserKeys().read(service.received[0].body)


def test_the_push_service_can_verify_the_site(user: User, browser: BrowserKeys, service: Receiver) -> None:
    attempted(tell(user))
    header = service.received[0].headers["Authorization"]
    assert Vapid02.verify(header)
    token, key = (part.partition("=")[2] for part in header.removeprefix("vapid ").split(","))
    assert key == public_key()
    claims = json.loads(from_base64url(token.split(".")[1]))
    assert (claims["aud"], claims["sub"]) == (service.url.removesuffix("/hook"), "mailto:keeper@example.com")
    assert 0 < claims["exp"] - time.time() <= 24 * 60 * 60


def test_a_message_fits_into_what_a_push_service_accepts(user: User, browser: BrowserKeys, service: Receiver) -> None:
    attempted(tell(user, context={"dataset_label": "🧾" * 2000, "reason": "🧾" * 2000}))
    [received] = service.received
    assert len(received.body) <= 4096
    assert len(browser.read(received.body)["title"]) == 150


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_removed(user: User, browser: BrowserKeys, service: Receiver, status: int) -> None:
    service.status = status
    delivery = attempted(tell(user))
    assert (delivery.state, delivery.error_code) == (State.FAILED, "push_gone")
    assert not PushSubscription.objects.exists()
    assert not tell(user, key="later").deliveries.filter(channel="push").exists()


@pytest.mark.parametrize(
    ("status", "state"),
    [(400, State.FAILED), (413, State.FAILED), *((status, State.PENDING) for status in (302, 403, 429, 500))],
)
def test_only_what_may_pass_is_retried(
    user: User, browser: BrowserKeys, service: Receiver, status: int, state: State
) -> None:
    service.status, service.body = status, b"no\nway"
    delivery = attempted(tell(user))
    assert (delivery.state, delivery.error_code) == (state, "push_refused")
    assert delivery.error_message == f"The push service answered {status}: no way"
    assert PushSubscription.objects.exists()


def test_a_push_service_in_the_own_network_gets_nothing(
    user: User, browser: BrowserKeys, service: Receiver, settings: Any
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOK_ALLOWED_NETWORKS": []}
    delivery = attempted(tell(user))
    assert (delivery.state, delivery.error_code) == (State.PENDING, "push_unreachable")
    assert service.received == []


def test_each_browser_has_a_delivery_of_its_own(
    signed_in: Client, user: User, browser: BrowserKeys, service: Receiver
) -> None:
    signed_in.post(SUBSCRIBE, {"endpoint": f"{service.url}/2", **BrowserKeys().public})
    assert tell(user).deliveries.filter(channel="push").count() == 2


def test_preferences_switch_a_kind_off(user: User, browser: BrowserKeys) -> None:
    Preference.objects.create(user=user, kind="export_failed", channel="push", enabled=False)
    assert not tell(user).deliveries.filter(channel="push").exists()


# --- the key --------------------------------------------------------------------------------------------------------


def test_the_command_makes_a_different_key_each_time() -> None:
    assert len({new_key() for _ in range(5)}) == 5
    assert len(from_base64url(new_key())) == 32


@pytest.mark.parametrize("key", ["x", "a key", "AAAA", "A" * 43], ids=["short", "no base64", "3 bytes", "zero"])
def test_a_wrong_key_is_reported(user: User, browser: BrowserKeys, settings: Any, key: str) -> None:
    settings.CARRYALL = settings.CARRYALL | {"VAPID_PRIVATE_KEY": key}
    assert [fault.id for fault in checks.check_settings()] == ["notifications.E009"]
    assert "manage.py vapid_key" in channels.get("push").fault()
    delivery = attempted(tell(user))
    assert (delivery.state, delivery.error_code) == (State.PENDING, "push_key")


def test_without_a_key_the_page_has_no_button(signed_in: Client, settings: Any) -> None:
    assert "Notify me in this browser" in signed_in.get(PREFERENCES).content.decode()
    settings.CARRYALL = settings.CARRYALL | {"VAPID_PRIVATE_KEY": ""}
    assert "Notify me in this browser" not in signed_in.get(PREFERENCES).content.decode()
    assert channels.get("push").fault() == ""


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_lists_the_browsers(signed_in: Client, user: User, browser: BrowserKeys) -> None:
    page = signed_in.get(PREFERENCES).content.decode()
    assert "Firefox, Linux" in page
    assert page.count("checked") == 9, "the browser gets each kind"
    subscription = PushSubscription.objects.get()
    assert signed_in.post(f"/notifications/push/{subscription.pk}/delete/").status_code == 303
    assert not PushSubscription.objects.exists()


def test_a_browser_belongs_to_the_user_who_subscribed_last(
    client: Client, browser: BrowserKeys, service: Receiver
) -> None:
    bob = make_user("bob")
    client.force_login(bob)
    client.post(SUBSCRIBE, {"endpoint": service.url, **browser.public})
    assert PushSubscription.objects.get().user == bob


def test_a_browser_of_another_user_is_not_found(client: Client, browser: BrowserKeys) -> None:
    client.force_login(make_user("bob"))
    assert client.post(f"/notifications/push/{PushSubscription.objects.get().pk}/delete/").status_code == 404


def test_the_oldest_browser_makes_room_for_an_eleventh(signed_in: Client) -> None:
    for number in range(11):
        signed_in.post(SUBSCRIBE, {"endpoint": f"https://push.example/{number}", **BrowserKeys().public})
    assert PushSubscription.objects.count() == 10
    assert not PushSubscription.objects.filter(endpoint="https://push.example/0").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "https://10.0.0.1/"}, {"endpoint": "x"}, {"endpoint": "https://example.com/" + "x" * 1000},
        {"p256dh": "x"}, {"p256dh": base64url(b"\x04" + b"1" * 64)}, {"p256dh": "ö"}, {"auth": ""}, {"auth": "AAAA"},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_subscription_is_refused(signed_in: Client, wrong: dict[str, str]) -> None:
    answer = signed_in.post(SUBSCRIBE, {"endpoint": "https://push.example/1", **BrowserKeys().public} | wrong)
    assert answer.status_code == 400
    assert not PushSubscription.objects.exists()


def test_the_service_worker_needs_no_session(client: Client) -> None:
    answer = client.get("/notifications/worker.js")
    assert answer["Content-Type"].startswith("text/javascript")
    assert b"showNotification" in answer.content


@pytest.mark.parametrize("path", [SUBSCRIBE, "/notifications/push/1/delete/"])
def test_anonymous_users_must_sign_in(client: Client, path: str) -> None:
    assert client.post(path)["Location"].startswith(reverse("login"))


def test_staff_can_delete_a_browser(admin_client: Client, browser: BrowserKeys) -> None:
    subscription = PushSubscription.objects.get()
    assert b"Firefox, Linux" in admin_client.get(reverse("admin:notifications_pushsubscription_changelist")).content
    admin_client.post(reverse("admin:notifications_pushsubscription_delete", args=[subscription.pk]), {"post": "yes"})
    assert not PushSubscription.objects.exists()


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/150 Safari/537 Edg/150", "Edge, Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/150.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604", "Safari, iOS"),
        ("curl/8", ""),
    ],
)  # fmt: skip
def test_browsers_have_names(agent: str, name: str) -> None:
    assert browser_of(agent) == name
