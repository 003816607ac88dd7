"""Tests of webhooks with a real receiver: signatures, addresses, the log, ends, and the pages of their owners."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from durable import clock
from durable.clock import Now
from durable.sweep import sweep
from exports.upkeep.purge import forget_missing_users
from notifications import outgoing
from notifications.channels.webhook import signed
from notifications.delivery import deliver
from notifications.models import Delivery, Notification, Preference, Webhook, WebhookAttempt
from tests.support.certificates import certificate
from tests.support.notices import make_user, tell
from tests.support.receiver import Received, Receiver, receiving

pytestmark = pytest.mark.django_db
State = Delivery.State
PREFERENCES = "/notifications/preferences/"


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {
        "WEBHOOKS_PER_USER": 2, "WEBHOOK_ALLOW_HTTP": True, "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"],
    }  # fmt: skip


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def webhook(user: User, receiver: Receiver) -> Webhook:
    return Webhook.objects.create(user=user, url=receiver.url)


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def delivery_to(webhook: Webhook, key: str = "fact") -> Delivery:
    notification = Notification.objects.filter(dedupe_key=key).first() or tell(webhook.user, key=key)
    return Delivery.objects.get(notification=notification, target=str(webhook.pk))


def attempted(webhook: Webhook, key: str = "fact") -> Delivery:
    """Return a delivery to the webhook after one attempt."""
    delivery = delivery_to(webhook, key)
    Delivery.objects.filter(pk=delivery.pk, state=State.PENDING).update(next_attempt_at=Now())
    deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def fail_for_good(webhook: Webhook, key: str) -> Delivery:
    for _ in range(Delivery.max_attempts):
        delivery = attempted(webhook, key)
    return delivery


def verified(received: Received, secret: str) -> Any:
    """Return the message, after the library of Standard Webhooks has verified its signature and time."""
    return Verifier(secret).verify(received.body, dict(received.headers.items()))


# --- the request ----------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md."""
    headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_notification_is_one_signed_request(user: User, webhook: Webhook, receiver: Receiver) -> None:
    delivery = attempted(webhook)
    assert delivery.state == State.SENT
    [received] = receiver.received
    message = verified(received, webhook.secret)
    assert message["type"] == "export_failed"
    age = delivery.notification.created_at - datetime.fromisoformat(message["timestamp"])
    assert age < timedelta(milliseconds=1)
    assert message["data"] == {
        "user": user.pk,
        "text": delivery.notification.text,
        "url": "http://127.0.0.1:8000/exports/1/",
        "context": delivery.notification.context,
    }
    assert received.headers["webhook-id"] == str(delivery.message_id)
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["Host"] == f"127.0.0.1:{receiver.server_port}"


def test_the_id_is_the_same_in_each_attempt(webhook: Webhook, receiver: Receiver) -> None:
    receiver.status = 503
    first = attempted(webhook)
    assert (first.state, first.error_message) == (State.PENDING, "The webhook answered 503.")
    receiver.status = 200
    assert attempted(webhook).state == State.SENT
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1
    for received in receiver.received:
        assert verified(received, webhook.secret)


def test_both_secrets_sign_after_a_rotation(webhook: Webhook, receiver: Receiver) -> None:
    old = webhook.secret
    webhook.rotate()
    attempted(webhook, "during")
    Webhook.objects.update(old_secret_until=Now())
    attempted(webhook, "after")
    during, after = receiver.received
    assert len(during.headers["webhook-signature"].split()) == 2
    assert verified(during, old) == verified(during, webhook.secret)
    assert verified(after, webhook.secret)
    with pytest.raises(WebhookVerificationError):
        verified(after, old)


def test_each_url_has_a_delivery_of_its_own(user: User, webhook: Webhook, receiver: Receiver) -> None:
    other = Webhook.objects.create(user=user, url="http://127.0.0.1:9/")
    assert attempted(webhook).state == State.SENT
    assert attempted(other).error_code == "webhook_unreachable"
    assert len(receiver.received) == 1


def test_webhooks_are_not_paused(webhook: Webhook) -> None:
    """The pause of a kind is for people."""
    for number in range(3):
        notification = tell(webhook.user, key=str(number), link="/exports/7/")
        assert notification.deliveries.get(channel="webhook").state == State.PENDING


def test_preferences_switch_a_kind_off(user: User, webhook: Webhook) -> None:
    Preference.objects.create(user=user, kind="export_failed", channel="webhook", enabled=False)
    assert not tell(user).deliveries.filter(channel="webhook").exists()
    assert tell(user, "export_ready", key="ready").deliveries.filter(channel="webhook").exists()


def test_the_site_gets_the_notifications_of_all(user: User, receiver: Receiver) -> None:
    site = Webhook.objects.create(url=receiver.url)
    for channel in ("in_app", "email"):
        Preference.objects.create(user=user, kind="export_failed", channel=channel, enabled=False)
    notification = tell(user)
    deliver(notification.deliveries.get().pk)
    message = verified(receiver.received[0], site.secret)
    assert (message["data"]["user"], message["data"]["context"]["reason"]) == (
        user.pk, "There was no room left to store the file.",
    )  # fmt: skip


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The answers for hooks.example, one for each time it is resolved. The last one stays."""
    answers: list[list[str]] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "hooks.example":
            return real(host, port, *args, **options)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in found for entry in real(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


def named(receiver: Receiver) -> str:
    return f"http://hooks.example:{receiver.server_port}/hook"


@pytest.mark.parametrize("networks", [[], ["10.0.0.0/8"]])
def test_a_private_address_gets_no_request(webhook: Webhook, receiver: Receiver, settings: Any, networks: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOK_ALLOWED_NETWORKS": networks}
    delivery = attempted(webhook)
    assert (delivery.state, delivery.error_code) == (State.PENDING, "webhook_unreachable")
    assert "127.0.0.1 is not public" in delivery.error_message
    assert receiver.received == []


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "hooks.example"])
def test_a_name_of_a_private_address_gets_no_request(
    webhook: Webhook, receiver: Receiver, settings: Any, resolver: list[list[str]], host: str
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOK_ALLOWED_NETWORKS": []}
    resolver.append(["127.0.0.1"])
    Webhook.objects.update(url=f"http://{host}:{receiver.server_port}/")
    assert "has no public address" in attempted(webhook).error_message
    assert receiver.received == []


def test_a_name_that_changes_after_the_check_gains_nothing(
    webhook: Webhook, receiver: Receiver, settings: Any, resolver: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is allowed, and every later one is the victim's address."""
    monkeypatch.setattr(outgoing, "LONGEST", 1.0)
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.2/32"]}
    resolver += [["127.0.0.2"], ["127.0.0.1"]]
    Webhook.objects.update(url=named(receiver))
    assert attempted(webhook).error_code == "webhook_unreachable"
    assert receiver.received == []
    assert resolver == [["127.0.0.1"]], "it was resolved once"


def test_allowed_addresses_of_a_name_are_tried_in_order(
    webhook: Webhook, receiver: Receiver, settings: Any, resolver: list[list[str]]
) -> None:
    resolver.append(["10.0.0.1", "127.0.0.3", "127.0.0.1"])
    Webhook.objects.update(url=named(receiver))
    assert attempted(webhook).state == State.SENT
    assert receiver.received[0].headers["Host"] == f"hooks.example:{receiver.server_port}"


def test_redirects_are_not_followed(webhook: Webhook, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 307, {"Location": receiver.url}
    assert attempted(webhook).error_message == "The webhook answered 307."
    assert len(receiver.received) == 1


def test_proxies_of_the_environment_are_not_used(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert attempted(webhook).state == State.SENT


def test_tls_verifies_the_name_and_not_the_address(
    webhook: Webhook, tmp_path: Path, resolver: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.append(["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate("hooks.example", tmp_path))
    with receiving(context) as secured:
        Webhook.objects.update(url=named(secured).replace("http:", "https:"))
        refused = attempted(webhook)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.error_message
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert attempted(webhook).state == State.SENT
        assert secured.names == ["hooks.example"] * 2
        Webhook.objects.update(url=f"https://127.0.0.1:{secured.server_port}/")
        assert "CERTIFICATE_VERIFY_FAILED" in attempted(webhook, "by address").error_message
        assert len(secured.received) == 1


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_an_answer_that_never_ends_is_cut_off(
    webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte arrives in time, but not the whole."""
    monkeypatch.setattr(outgoing, "LONGEST", 0.5)
    receiver.drip = True
    began = time.monotonic()
    assert "no complete answer within 0.5 seconds" in attempted(webhook).error_message
    assert time.monotonic() - began < 3


def test_only_the_beginning_of_an_answer_is_read(webhook: Webhook, receiver: Receiver) -> None:
    receiver.body = "ö\x00".encode() * 10_000_000
    attempted(webhook)
    line = webhook.attempts.get()
    assert (line.status, len(line.answer)) == (200, 500)
    assert set(line.answer) == {"ö"}


def test_a_slow_webhook_rests_and_others_do_not_wait(user: User, webhook: Webhook, receiver: Receiver) -> None:
    other = Webhook.objects.create(user=user, url=receiver.url)
    attempted(webhook, "first")
    WebhookAttempt.objects.update(seconds=3)
    resting = attempted(webhook, "second")
    assert (resting.state, resting.failures, len(receiver.received)) == (State.PENDING, 0, 1)
    assert resting.next_attempt_at is not None
    assert timedelta(seconds=50) < resting.next_attempt_at - clock.now() <= timedelta(seconds=60)
    assert attempted(other, "second").state == State.SENT
    WebhookAttempt.objects.update(at=Now() - timedelta(seconds=61))
    assert attempted(webhook, "second").state == State.SENT


# --- the log, and the end -------------------------------------------------------------------------------------------


def test_each_request_is_logged(webhook: Webhook, receiver: Receiver) -> None:
    receiver.status, receiver.body = 500, b"out of order"
    attempted(webhook)
    receiver.status, receiver.body = 204, b""
    attempted(webhook)
    first, second = webhook.attempts.order_by("pk")
    assert (first.status, first.attempt, first.answer, first.accepted) == (500, 1, "out of order", False)
    assert (second.status, second.attempt, second.answer, second.accepted) == (204, 2, "", True)
    assert 0 < first.seconds < 5


def test_old_lines_of_the_log_are_deleted(webhook: Webhook) -> None:
    attempted(webhook, "old")
    WebhookAttempt.objects.update(at=Now() - timedelta(days=31))
    attempted(webhook, "new")
    assert [line.delivery.notification.dedupe_key for line in webhook.attempts.all()] == ["new"]


def test_gone_ends_a_webhook_at_once_and_its_owner_is_told_once(webhook: Webhook, receiver: Receiver) -> None:
    waiting = delivery_to(webhook, "waiting")
    receiver.status = 410
    delivery = attempted(webhook)
    assert (delivery.state, delivery.error_message) == (State.FAILED, "The webhook answered 410.")
    for _ in range(2):
        sweep()
    notice = Notification.objects.get(kind="webhook_ended")
    assert notice.user == webhook.user
    assert notice.text == f"The webhook {webhook.url} was switched off. It answered 410 (Gone)."
    assert notice.link == f"/notifications/webhooks/{webhook.pk}/"
    assert not notice.deliveries.filter(channel="webhook").exists()
    deliver(waiting.pk)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code, len(receiver.received)) == (State.FAILED, "webhook_ended", 1)


def test_five_days_of_failures_end_a_webhook(webhook: Webhook, receiver: Receiver) -> None:
    receiver.status = 500
    fail_for_good(webhook, "first")
    webhook.refresh_from_db()
    assert webhook.failing_since is not None
    assert webhook.ended_at is None
    Webhook.objects.update(failing_since=Now() - timedelta(days=5, minutes=1))
    attempted(webhook, "second")
    webhook.refresh_from_db()
    assert webhook.ended_at is None, "the next attempt may succeed"
    fail_for_good(webhook, "second")
    webhook.refresh_from_db()
    assert webhook.end_reason == "No request was accepted for 5 days."


def test_one_accepted_request_starts_the_five_days_again(webhook: Webhook, receiver: Receiver) -> None:
    receiver.status = 500
    attempted(webhook)
    Webhook.objects.update(failing_since=Now() - timedelta(days=6))
    receiver.status = 200
    attempted(webhook)
    receiver.status = 500
    fail_for_good(webhook, "later")
    webhook.refresh_from_db()
    assert webhook.ended_at is None


def test_the_staff_are_told_of_the_end_of_a_webhook_of_the_site(user: User, receiver: Receiver) -> None:
    keeper, _other = make_user("keeper", is_staff=True), make_user("other", is_staff=True)
    keeper.user_permissions.add(Permission.objects.get(codename="change_webhook"))
    site = Webhook.objects.create(url=receiver.url)
    Webhook.objects.filter(pk=site.pk).end("It answered 410 (Gone).")
    sweep()
    notice = Notification.objects.get(kind="webhook_ended")
    assert (notice.user, notice.link) == (keeper, reverse("admin:notifications_webhook_change", args=[site.pk]))


def test_the_clean_up_of_deleted_users_keeps_the_webhooks_of_the_site(user: User) -> None:
    Webhook.objects.create(url="https://example.com/")
    gone = Webhook.objects.create(user_id=987_654, url="https://example.com/gone")
    Webhook.objects.create(user=user, url="https://example.com/mine")
    assert forget_missing_users() == 1
    assert not Webhook.objects.filter(pk=gone.pk).exists()
    assert Webhook.objects.count() == 2


# --- pages of the owner ---------------------------------------------------------------------------------------------


def body(response: Any) -> str:
    return str(response.content.decode())


def test_a_user_adds_a_webhook_and_sees_its_secret_once(signed_in: Client, user: User) -> None:
    assert "Add webhook" in body(signed_in.get(PREFERENCES))
    added = signed_in.post("/notifications/webhooks/add/", {"url": " https://example.com/hook "})
    webhook = Webhook.objects.get()
    assert (added.status_code, added["Location"]) == (303, f"/notifications/webhooks/{webhook.pk}/")
    assert (webhook.user, webhook.url, len(webhook.secret)) == (user, "https://example.com/hook", 50)
    assert webhook.secret in body(signed_in.get(added["Location"]))
    assert webhook.secret not in body(signed_in.get(added["Location"]))
    page = body(signed_in.get(PREFERENCES))
    assert "https://example.com/hook" in page
    assert webhook.secret not in page
    assert page.count("checked") == 9, "the webhook gets each kind"


def test_a_new_secret_is_shown_once(signed_in: Client, webhook: Webhook) -> None:
    old = webhook.secret
    rotated = signed_in.post(f"/notifications/webhooks/{webhook.pk}/rotate/", follow=True)
    webhook.refresh_from_db()
    assert (webhook.old_secret, webhook.secret in body(rotated)) == (old, True)
    assert "also signed with the old secret" in body(rotated)
    assert webhook.secret not in body(signed_in.get(webhook.get_absolute_url()))


@pytest.mark.parametrize(
    ("url", "words"),
    [("gopher://example.com", "must start with https://"), ("https://10.0.0.1/", "not public"),
     ("https://example.com/" + "x" * 500, "too long"), ("", "must start with")],
    ids=["scheme", "private", "long", "empty"],
)  # fmt: skip
def test_a_wrong_url_is_explained(signed_in: Client, url: str, words: str) -> None:
    answer = signed_in.post("/notifications/webhooks/add/", {"url": url})
    assert (answer.status_code, words in body(answer)) == (422, True)
    assert not Webhook.objects.exists()


def test_the_number_of_webhooks_is_limited(signed_in: Client, webhook: Webhook, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOKS_PER_USER": 1}
    assert "Add webhook" not in body(signed_in.get(PREFERENCES))
    assert "which is the limit" in body(signed_in.post("/notifications/webhooks/add/", {"url": "https://example.com"}))
    settings.CARRYALL = settings.CARRYALL | {"WEBHOOKS_PER_USER": 0}
    assert signed_in.post("/notifications/webhooks/add/", {"url": "https://example.com"}).status_code == 404
    webhook.delete()
    assert "ebhook" not in body(signed_in.get(PREFERENCES))


def test_the_log_has_a_button_to_send_again(signed_in: Client, webhook: Webhook, receiver: Receiver) -> None:
    receiver.body = b"<b>thanks</b>"
    delivery = attempted(webhook)
    page = body(signed_in.get(webhook.get_absolute_url()))
    assert "&lt;b&gt;thanks&lt;/b&gt;" in page
    again = f"/notifications/webhooks/{webhook.pk}/again/{delivery.pk}/"
    assert again in page
    assert "will be sent again" in body(signed_in.post(again, follow=True))
    assert again not in body(signed_in.get(webhook.get_absolute_url())), "it is pending"
    assert attempted(webhook).state == State.SENT
    assert [received.headers["webhook-id"] for received in receiver.received] == [str(delivery.message_id)] * 2


def test_an_ended_webhook_is_switched_on_again(signed_in: Client, webhook: Webhook, receiver: Receiver) -> None:
    receiver.status = 410
    delivery = attempted(webhook)
    page = body(signed_in.get(webhook.get_absolute_url()))
    assert "It answered 410 (Gone)." in page
    assert f"/again/{delivery.pk}/" not in page
    assert not tell(webhook.user, key="meanwhile").deliveries.filter(channel="webhook").exists()
    signed_in.post(f"/notifications/webhooks/{webhook.pk}/resume/")
    receiver.status = 200
    assert attempted(webhook, "afterwards").state == State.SENT


def test_a_webhook_is_deleted_with_its_log(signed_in: Client, webhook: Webhook) -> None:
    attempted(webhook)
    assert signed_in.post(f"/notifications/webhooks/{webhook.pk}/delete/")["Location"] == PREFERENCES
    assert not Webhook.objects.exists()
    assert not WebhookAttempt.objects.exists()


@pytest.mark.parametrize("of_site", [False, True])
def test_webhooks_of_others_are_not_found(signed_in: Client, receiver: Receiver, of_site: bool) -> None:
    theirs = Webhook.objects.create(user=None if of_site else make_user("bob"), url=receiver.url)
    before = Webhook.objects.values().get()
    page = theirs.get_absolute_url()
    assert signed_in.get(page).status_code == 404
    for verb in ("rotate/", "resume/", "delete/", "again/1/"):
        assert signed_in.post(page + verb).status_code == 404
    assert Webhook.objects.values().get() == before


def test_a_delivery_of_another_webhook_is_not_sent_again(
    signed_in: Client, webhook: Webhook, receiver: Receiver
) -> None:
    theirs = Webhook.objects.create(user=make_user("bob"), url=receiver.url)
    delivery = attempted(theirs)
    assert signed_in.post(f"{webhook.get_absolute_url()}again/{delivery.pk}/").status_code == 404


@pytest.mark.parametrize("verb", ["", "rotate/", "resume/", "delete/", "again/1/"])
def test_anonymous_users_must_sign_in(client: Client, webhook: Webhook, verb: str) -> None:
    for answer in (client.get(webhook.get_absolute_url() + verb), client.post(webhook.get_absolute_url() + verb)):
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("login"))


# --- the admin ------------------------------------------------------------------------------------------------------


def test_staff_add_a_webhook_of_the_site(admin_client: Client) -> None:
    add = reverse("admin:notifications_webhook_add")
    assert "not public" in body(admin_client.post(add, {"url": "https://[::1]/"}))
    page = body(admin_client.post(add, {"url": "https://example.com/all"}, follow=True))
    webhook = Webhook.objects.get()
    assert (webhook.user, webhook.secret in page) == (None, True)
    change = reverse("admin:notifications_webhook_change", args=[webhook.pk])
    assert webhook.secret not in body(admin_client.get(change))
    admin_client.post(change, {"url": "https://example.com/other"})
    webhook.refresh_from_db()
    assert webhook.url == "https://example.com/other"


def test_staff_do_not_change_the_url_of_a_user(admin_client: Client, webhook: Webhook) -> None:
    change = reverse("admin:notifications_webhook_change", args=[webhook.pk])
    admin_client.post(change, {"url": "https://example.com/other"})
    assert Webhook.objects.get().url == webhook.url


def test_the_admin_rotates_and_resumes(admin_client: Client, webhook: Webhook, receiver: Receiver) -> None:
    site = Webhook.objects.create(url=receiver.url)
    Webhook.objects.all().end("It answered 410 (Gone).")
    page = reverse("admin:notifications_webhook_changelist")
    for action in ("rotate", "resume"):
        chosen = {"action": action, "_selected_action": [site.pk, webhook.pk]}
        shown = body(admin_client.post(page, chosen, follow=True))
        site.refresh_from_db()
        assert (site.secret in shown) is (action == "rotate")
    assert Webhook.objects.get(pk=webhook.pk).secret == webhook.secret, "only its user sees it"
    assert Webhook.objects.live().count() == 2


def test_the_admin_sends_logged_deliveries_again(admin_client: Client, webhook: Webhook) -> None:
    delivery = attempted(webhook)
    page = reverse("admin:notifications_webhookattempt_changelist")
    assert "export" in body(admin_client.get(page, {"webhook": webhook.pk}))
    chosen = {"action": "send_again", "_selected_action": [webhook.attempts.get().pk]}
    assert "1 delivery will be sent again." in body(admin_client.post(page, chosen, follow=True))
    delivery.refresh_from_db()
    assert delivery.state == State.PENDING


def test_the_payload_is_plain_json(webhook: Webhook, receiver: Receiver) -> None:
    attempted(webhook)
    assert set(json.loads(receiver.received[0].body)) == {"type", "timestamp", "data"}
