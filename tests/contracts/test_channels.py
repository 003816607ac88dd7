"""Contract tests of all registered channels and kinds of notification. New channels are tested automatically."""

from __future__ import annotations

import pickle
import smtplib
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.template.loader import get_template

from durable.lease import LeaseLost
from durable.registry import Registry
from notifications.channels import Channel, channels
from notifications.channels.email import explain
from notifications.errors import DeliveryError, UnknownChannel
from notifications.kinds import DAILY, Kind, kinds
from notifications.models import ChatAddress, Delivery, Notification, PushSubscription, Webhook
from notifications.rendering import template_name
from tests.support.browser_keys import BrowserKeys, new_key
from tests.support.notices import make_user, tell
from tests.support.receiver import Receiver, receiving

HOSTILE = "<script>alert(1)</script> & \"quotes\" 'and'\r\nBcc: evil@example.com\x00"

every_channel = pytest.mark.parametrize("channel", list(channels), ids=lambda channel: channel.key)
single = [channel for channel in channels if channel.key != DAILY]  # its deliveries are sent together
every_pair = pytest.mark.parametrize(
    ("channel", "kind"),
    [
        pytest.param(channel, kind, id=f"{channel.key}-{kind.key}")
        for channel in single
        for kind in kinds
        if kind.allows(channel.key)
    ],
)
every_kind = pytest.mark.parametrize("kind", list(kinds), ids=lambda kind: kind.key)


@pytest.fixture
def user(db: None) -> User:
    return make_user(is_staff=True)


@pytest.fixture
def targets(user: User, settings: Any) -> Iterator[Receiver]:
    """A webhook and a chat of the user, those of the site, and a browser of the user, all on this machine."""
    loopback = {"WEBHOOK_ALLOW_HTTP": True, "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"]}
    settings.CARRYALL = settings.CARRYALL | loopback | {"VAPID_PRIVATE_KEY": new_key(), "CHAT_SCHEMES": ["json"]}
    with receiving() as receiver:
        chat = receiver.url.replace("http:", "json:")
        settings.CARRYALL = settings.CARRYALL | {"CHAT_URLS": [chat]}
        ChatAddress.objects.create(user=user, url=chat)
        for owner in (user, None):
            Webhook.objects.create(user=owner, url=receiver.url)
        PushSubscription.objects.create(user=user, endpoint=receiver.url, **BrowserKeys().public)
        yield receiver


def hostile(kind: Kind, user: User) -> Delivery:
    """Return a delivery with hostile values for all texts."""
    words = ("dataset_label", "format_label", "filename", "size_text", "period", "reason", "week", "bytes_text")
    lines = [{"text": HOSTILE.replace("\x00", ""), "link": "/exports/1/"}]
    context = dict.fromkeys(words, HOSTILE) | {"lines": lines}
    notification = tell(user, kind.key, key=f"{kind.key}-hostile", context=context)
    return claimed(notification)


def claimed(notification: Notification, channel: str = "email") -> Delivery:
    """Return the delivery as passed to a channel: claimed, unless the channel is immediate."""
    delivery = Delivery.objects.get(notification=notification, channel=channel)
    lease = Delivery.objects.claim(delivery.pk)
    return lease.work if lease else delivery


@every_channel
def test_a_channel_has_a_key_and_a_label(channel: Channel) -> None:
    assert channels.get(channel.key) is channel
    assert channel.key.isidentifier()
    assert str(channel.label)


@every_pair
def test_each_kind_has_the_channels_templates(channel: Channel, kind: Kind) -> None:
    for file in channel.templates:
        assert get_template(template_name(kind.key, file))


@every_pair
@pytest.mark.usefixtures("targets")
def test_a_channel_delivers_every_kind(channel: Channel, kind: Kind, user: User) -> None:
    notification = tell(user, kind.key)
    target, *_ = channel.targets(user)
    Delivery.objects.get_or_create(notification=notification, channel=channel.key, target=target)
    channel.deliver(claimed(notification, channel.key))


@pytest.mark.parametrize("channel", single, ids=lambda channel: channel.key)
def test_a_channel_that_lost_its_lease_sends_nothing(
    channel: Channel, user: User, targets: Receiver, mailoutbox: list[Any]
) -> None:
    """A process that was suspended must not send what another process has sent since."""
    if channel.immediate:
        return
    target, *_ = channel.targets(user)
    notification = tell(user, "export_ready")
    Delivery.objects.get_or_create(notification=notification, channel=channel.key, target=target)
    suspended = claimed(notification, channel.key)
    Delivery.objects.filter(pk=suspended.pk).update(attempt=2)
    with pytest.raises(LeaseLost):
        channel.deliver(suspended)
    assert (targets.received, mailoutbox) == ([], [])


@every_kind
def test_hostile_texts_are_escaped(kind: Kind, user: User, mailoutbox: list[Any]) -> None:
    delivery = hostile(kind, user)
    channels.get("email").deliver(delivery)
    mail = mailoutbox[0]
    html = mail.alternatives[0][0]
    assert "<script" not in html
    assert "&lt;script&gt;" in html or kind.key == "export_expiring"
    assert "&lt;" not in mail.body
    assert "&amp;" not in mail.body
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject
    assert "Bcc" not in mail.message()
    assert mail.recipients() == [user.email]
    assert "\n" not in delivery.notification.text
    assert "&lt;" not in delivery.notification.text


@every_kind
def test_each_mail_has_its_links(kind: Kind, user: User, mailoutbox: list[Any]) -> None:
    channels.get("email").deliver(claimed(tell(user, kind.key)))
    mail = mailoutbox[0]
    for text in (mail.body, mail.alternatives[0][0]):
        assert "/exports/1/" in text
        assert "/notifications/preferences/" in text
        assert "{{" not in text


def test_a_failure_shows_its_reason(user: User, mailoutbox: list[Any]) -> None:
    notification = tell(user, "export_failed", context={"reason": "The disk was full; try again later."})
    channels.get("email").deliver(claimed(notification))
    assert "The disk was full; try again later." in notification.text
    assert "The disk was full; try again later." in mailoutbox[0].body
    assert "The disk was full; try again later." in mailoutbox[0].alternatives[0][0]


def test_the_attachment_is_sent(user: User, mailoutbox: list[Any]) -> None:
    key = storages["exports"].save("reports/usage-2026-W30.pdf", ContentFile(b"%PDF-1.7 figures"))
    notification = tell(user, "weekly_report", attachment=key)
    try:
        channels.get("email").deliver(claimed(notification))
    finally:
        storages["exports"].delete(key)
    name, content, content_type = mailoutbox[0].attachments[0]
    assert (content, content_type) == (b"%PDF-1.7 figures", "application/pdf")
    assert name.startswith("usage-2026-W30")


def test_a_missing_attachment_is_a_permanent_error(user: User) -> None:
    notification = tell(user, "weekly_report", attachment="reports/never-was.pdf")
    with pytest.raises(DeliveryError, match="missing") as caught:
        channels.get("email").deliver(claimed(notification))
    assert caught.value.permanent


def test_a_too_large_attachment_is_refused(user: User, settings: Any) -> None:
    settings.CARRYALL = {"SITE_URL": "http://x.example", "ATTACHMENT_MAX_BYTES": 3}
    key = storages["exports"].save("reports/large.pdf", ContentFile(b"1234"))
    notification = tell(user, "weekly_report", attachment=key)
    try:
        with pytest.raises(DeliveryError, match="too large to mail: 4 bytes"):
            channels.get("email").deliver(claimed(notification))
    finally:
        storages["exports"].delete(key)


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (smtplib.SMTPRecipientsRefused({"a@example.com": (550, b"unknown")}), True),
        (smtplib.SMTPRecipientsRefused({"a@example.com": (451, b"later")}), False),
        (smtplib.SMTPAuthenticationError(535, b"no"), False),
        (smtplib.SMTPSenderRefused(530, b"sign in first", "us@example.com"), False),
        (smtplib.SMTPSenderRefused(552, b"too large", "us@example.com"), True),
        (smtplib.SMTPDataError(554, b"spam"), True),
        (smtplib.SMTPDataError(452, b"no room"), False),
        (smtplib.SMTPServerDisconnected("gone"), False),
        (ConnectionRefusedError(111, "Connection refused"), False),
        (TimeoutError("timed out"), False),
        (ValueError("a newline in an address"), True),
    ],
    ids=repr,
)
def test_errors_are_permanent_or_temporary(error: Exception, permanent: bool) -> None:
    explained = explain(error)
    assert explained.permanent is permanent
    assert explained.message
    assert "\n" not in explained.message


def test_errors_survive_pickling() -> None:
    error = DeliveryError("No.", permanent=True, code="no")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.message, copy.permanent, copy.code) == ("No.", True, "no")


def test_two_channels_cannot_share_a_key() -> None:
    registry: Registry[Channel] = Registry("channel", UnknownChannel)

    class Pigeon(Channel):
        key, label = "pigeon", "By pigeon"

        def deliver(self, delivery: Delivery) -> None: ...

    class Other(Pigeon):
        pass

    registry.register(Pigeon)
    registry.register(Pigeon)
    with pytest.raises(Exception, match="choose another key"):
        registry.register(Other)
    registry.unregister("pigeon")
    with pytest.raises(UnknownChannel, match="Choose one of: none"):
        registry.get("pigeon")
