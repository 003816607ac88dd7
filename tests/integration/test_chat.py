"""Tests of SMS and chat with a real service of Apprise on this machine, of quiet hours, and of the monthly limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from durable import clock
from durable.clock import Now
from notifications import checks, quiet
from notifications.channels.chat import sent_this_month
from notifications.conf import notification_settings
from notifications.delivery import deliver
from notifications.models import ChatAddress, Delivery, Notification, Preference, QuietHours
from tests.support.notices import make_user, tell
from tests.support.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db
State = Delivery.State
PREFERENCES = "/notifications/preferences/"


def number(user: User) -> str:
    """What {to} stands for. Eve has a number that tries to be more."""
    return {"ada": "+4366012345", "eve": "1/../../other?x="}.get(user.username, "")


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def service() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def address(service: Receiver) -> str:
    """The URL of Apprise for the service."""
    return f"json://127.0.0.1:{service.server_port}/hook"


@pytest.fixture
def chat(user: User, address: str, settings: Any) -> ChatAddress:
    """An address of the user, who has enabled the channel."""
    settings.CARRYALL = settings.CARRYALL | {"CHAT_SCHEMES": ["json"]}
    Preference.objects.create(user=user, kind="export_failed", channel="chat", enabled=True)
    return ChatAddress.objects.create(user=user, url=address)


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def attempted(notification: Notification, channel: str = "chat") -> Delivery:
    """Return the delivery after one attempt."""
    delivery = notification.deliveries.get(channel=channel)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def body(response: Any) -> str:
    return str(response.content.decode())


# --- addresses of users, and those of the site ----------------------------------------------------------------------


def test_a_chat_gets_the_text_with_the_link(user: User, chat: ChatAddress, service: Receiver) -> None:
    notification = tell(user)
    delivery = attempted(notification)
    assert (delivery.state, delivery.error_message) == (State.SENT, "")
    message = json.loads(service.received[0].body)
    assert message["title"] == "Your export failed: Orders"
    assert message["message"] == f"{notification.text}\nhttp://127.0.0.1:8000/exports/1/"


def test_a_chat_gets_only_what_its_owner_has_chosen(user: User, chat: ChatAddress) -> None:
    assert not tell(user, "export_ready").deliveries.filter(channel="chat").exists()


def test_a_refusal_is_retried_with_the_reason(user: User, chat: ChatAddress, service: Receiver) -> None:
    service.status = 500
    delivery = attempted(tell(user))
    assert (delivery.state, delivery.error_code) == (State.PENDING, "chat_refused")
    assert "error=500" in delivery.error_message


def test_an_address_cannot_prolong_the_wait(user: User, chat: ChatAddress, service: Receiver) -> None:
    service.status = 500
    ChatAddress.objects.update(url=f"{chat.url}?rto=600&cto=600&retry=5&wait=60")
    assert attempted(tell(user)).error_code == "chat_refused"
    assert len(service.received) == 1


@pytest.mark.parametrize("schemes", [[], ["tgram"]])
def test_a_scheme_that_is_no_longer_allowed_gets_nothing(
    user: User, chat: ChatAddress, service: Receiver, settings: Any, schemes: list[str]
) -> None:
    notification = tell(user)
    settings.CARRYALL = settings.CARRYALL | {"CHAT_SCHEMES": schemes}
    delivery = attempted(notification)
    assert (delivery.state, delivery.error_code, service.received) == (State.FAILED, "chat_gone", [])
    assert not tell(user, key="later").deliveries.filter(channel="chat").exists()


def test_one_address_is_not_two(user: User, chat: ChatAddress, service: Receiver) -> None:
    """Apprise splits a text at commas and spaces, so a second URL could have a scheme that is not allowed."""
    ChatAddress.objects.update(url=f"json://127.0.0.1:9/hook,form://127.0.0.1:{service.server_port}/hook")
    attempted(tell(user))
    assert service.received == []


@pytest.fixture
def sms(user: User, address: str, settings: Any) -> str:
    """The URL of the site's SMS service."""
    url = f"{address}/{{to}}"
    settings.CARRYALL = settings.CARRYALL | {"CHAT_URLS": [url], "CHAT_TO": f"{__name__}.number"}
    Preference.objects.create(user=user, kind="export_failed", channel="chat", enabled=True)
    return url


def test_an_sms_goes_to_the_number_of_the_user(user: User, sms: str, service: Receiver) -> None:
    delivery = attempted(tell(user))
    assert delivery.state == State.SENT
    assert service.received[0].path == "/hook/+4366012345"
    assert len(delivery.target) <= 40
    assert "json" not in delivery.target


def test_a_number_stays_one_part_of_the_url(sms: str, service: Receiver) -> None:
    eve = make_user("eve")
    Preference.objects.create(user=eve, kind="export_failed", channel="chat", enabled=True)
    attempted(tell(eve))
    assert service.received[0].path.startswith("/hook/1%2F")


def test_a_user_without_a_number_is_not_offered_sms(client: Client, signed_in: Client, sms: str) -> None:
    assert "By SMS or chat" in body(signed_in.get(PREFERENCES))
    client.force_login(make_user("bob"))
    assert "By SMS or chat" not in body(client.get(PREFERENCES))


def test_a_chat_of_the_site_gets_the_notifications_of_all(
    user: User, address: str, service: Receiver, settings: Any
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"CHAT_URLS": [address]}
    assert attempted(tell(user), "site_chat").state == State.SENT
    assert attempted(tell(make_user("bob"), key="bob"), "site_chat").state == State.SENT
    notification = tell(user, key="removed")
    settings.CARRYALL = settings.CARRYALL | {"CHAT_URLS": []}
    assert attempted(notification, "site_chat").error_code == "chat_gone"
    assert len(service.received) == 2


def test_a_wrong_url_of_the_site_is_reported(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"CHAT_URLS": ["json://example.com/{to}", "no://such"]}
    [fault] = checks.check_settings()
    assert (fault.id, "number 2" in fault.msg, "such" in fault.msg) == ("notifications.E011", True, False)


# --- the monthly limit ----------------------------------------------------------------------------------------------


def test_the_messages_of_a_month_are_limited(user: User, chat: ChatAddress, service: Receiver, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"CHAT_PER_MONTH": 2}
    states = [attempted(tell(user, key=str(number))).state for number in range(3)]
    assert states == [State.SENT, State.SENT, State.FAILED]
    assert len(service.received) == 2
    last = Delivery.objects.get(channel="chat", state=State.FAILED)
    assert (last.error_code, last.error_message) == ("chat_limit", "The limit of 2 messages a month is reached.")
    Delivery.objects.filter(channel="chat", state=State.SENT).update(sent_at=Now() - timedelta(days=32))
    assert attempted(tell(user, key="next month")).state == State.SENT


def test_a_month_begins_in_the_time_zone_of_the_user(
    user: User, chat: ChatAddress, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempted(tell(user))
    settings.TIME_ZONE = "Pacific/Auckland"
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 6, 30, 12, 30, tzinfo=UTC))  # 1 July there
    Delivery.objects.filter(channel="chat").update(sent_at=datetime(2026, 6, 30, 11, 30, tzinfo=UTC))
    assert sent_this_month(user) == 0
    Delivery.objects.filter(channel="chat").update(sent_at=datetime(2026, 6, 30, 12, 0, tzinfo=UTC))
    assert sent_this_month(user) == 1


# --- quiet hours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "now", "hours"),
    [
        ((22, 0), (7, 0), "2026-07-27T21:59+02:00", 0),
        ((22, 0), (7, 0), "2026-07-27T22:00+02:00", 9),
        ((22, 0), (7, 0), "2026-07-28T00:00+02:00", 7),
        ((22, 0), (7, 0), "2026-07-28T06:30+02:00", 0.5),
        ((22, 0), (7, 0), "2026-07-28T07:00+02:00", 0),
        ((22, 0), (7, 0), "2026-07-27T20:00Z", 9),
        ((12, 0), (14, 0), "2026-07-27T12:30+02:00", 1.5),
        ((12, 0), (14, 0), "2026-07-27T11:30+02:00", 0),
        ((22, 0), (7, 0), "2026-03-28T22:00+01:00", 8),  # the clocks go forward
        ((22, 0), (7, 0), "2026-10-24T22:00+02:00", 10),  # the clocks go back
    ],
)
def test_quiet_hours_end_in_the_time_zone_of_the_user(
    user: User, settings: Any, start: tuple[int, int], end: tuple[int, int], now: str, hours: float
) -> None:
    settings.TIME_ZONE = "Europe/Vienna"
    QuietHours.objects.create(user=user, start=time(*start), end=time(*end))
    assert quiet.seconds_left(user, datetime.fromisoformat(now)) == hours * 3600


def test_a_delivery_waits_for_the_end_of_the_quiet_hours(user: User, chat: ChatAddress, service: Receiver) -> None:
    local = clock.now().astimezone(notification_settings().zone_of(user))
    around = [(local + timedelta(hours=hours)).time() for hours in (-1, 2)]
    QuietHours.objects.create(user=user, start=around[0], end=around[1])
    notification = tell(user)
    for _ in range(Delivery.max_attempts + 2):
        Delivery.objects.filter(notification=notification, channel="chat").update(next_attempt_at=Now())
        delivery = attempted(notification)
    assert (delivery.state, service.received) == (State.PENDING, [])
    assert delivery.failures == 0, "waiting is no attempt"
    assert delivery.next_attempt_at is not None
    assert timedelta(minutes=119) < delivery.next_attempt_at - clock.now() <= timedelta(minutes=120)
    QuietHours.objects.all().delete()
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=Now())
    assert attempted(notification).state == State.SENT


def test_mails_do_not_wait(user: User) -> None:
    QuietHours.objects.create(user=user, start=time(0), end=time(23, 59, 59))
    assert attempted(tell(user), "email").state == State.SENT


# --- the page -------------------------------------------------------------------------------------------------------


def test_a_user_adds_and_removes_an_address(signed_in: Client, user: User, settings: Any) -> None:
    assert "SMS and chat" not in body(signed_in.get(PREFERENCES))
    settings.CARRYALL = settings.CARRYALL | {"CHAT_SCHEMES": ["tgram"]}
    url = "tgram://123456789:abcdefg_hijklmnop/12315544/"
    assert "was added" in body(signed_in.post("/notifications/chats/add/", {"url": url}, follow=True))
    page = body(signed_in.get(PREFERENCES))
    assert "abcdefg_hijklmnop" not in page, "the token is a secret"
    assert "tgram://" in page
    assert "By SMS or chat" in page
    row = ChatAddress.objects.get()
    signed_in.post(f"/notifications/chats/{row.pk}/delete/")
    assert not ChatAddress.objects.exists()


@pytest.mark.parametrize("url", ["json://127.0.0.1/", "tgram://", "", "x", "tgram://1:a/2" + "3" * 500])
def test_a_wrong_address_is_refused(signed_in: Client, settings: Any, url: str) -> None:
    settings.CARRYALL = settings.CARRYALL | {"CHAT_SCHEMES": ["tgram"]}
    answer = signed_in.post("/notifications/chats/add/", {"url": url})
    assert (answer.status_code, "tgram://" in body(answer), ChatAddress.objects.count()) == (422, True, 0)


def test_addresses_are_limited_and_private(client: Client, signed_in: Client, chat: ChatAddress) -> None:
    for _ in range(5):
        answer = signed_in.post("/notifications/chats/add/", {"url": chat.url})
    assert (ChatAddress.objects.count(), "which is the limit" in body(answer)) == (5, True)
    client.force_login(make_user("bob"))
    assert client.post(f"/notifications/chats/{chat.pk}/delete/").status_code == 404


def test_without_schemes_no_address_is_added(signed_in: Client) -> None:
    assert signed_in.post("/notifications/chats/add/", {"url": "json://127.0.0.1/"}).status_code == 404


def test_quiet_hours_are_saved_and_removed(signed_in: Client, user: User, chat: ChatAddress) -> None:
    path = "/notifications/quiet-hours/"
    assert signed_in.post(path, {"start": "22:00", "end": "07:00"}).status_code == 303
    assert str(QuietHours.objects.get()) == "22:00 to 07:00"
    assert 'value="22:00"' in body(signed_in.get(PREFERENCES))
    for wrong in ({"start": "22:00", "end": ""}, {"start": "22:00", "end": "22:00"}, {"start": "noon", "end": "1:00"}):
        assert signed_in.post(path, wrong).status_code == 422
    assert str(QuietHours.objects.get()) == "22:00 to 07:00"
    signed_in.post(path, {"start": "", "end": ""})
    assert not QuietHours.objects.exists()


def test_quiet_hours_are_offered_with_a_channel_that_waits(signed_in: Client) -> None:
    assert "Quiet hours" not in body(signed_in.get(PREFERENCES))
