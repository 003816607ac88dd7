"""Tests of the daily summary: one e-mail with everything since the last one, for users who choose it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from durable.clock import Now
from durable.sweep import sweep
from notifications import checks, summaries
from notifications.channels import daily
from notifications.delivery import deliver
from notifications.models import Delivery, Notification, Preference
from tests.support.notices import make_user, tell

pytestmark = pytest.mark.django_db
State = Delivery.State
PREFERENCES = "/notifications/preferences/"


@pytest.fixture
def user() -> User:
    """A user who gets failed exports in the daily summary instead of one by one."""
    user = make_user()
    choose(user, "export_failed")
    return user


def choose(user: User, kind: str) -> None:
    Preference.objects.create(user=user, kind=kind, channel="daily", enabled=True)
    Preference.objects.create(user=user, kind=kind, channel="email", enabled=False)


def morning() -> int:
    """Make every collected delivery due, and run the step of the sweep."""
    Delivery.objects.filter(channel="daily", state=State.PENDING).update(next_attempt_at=Now())
    return summaries.send_due()


def summary() -> Notification:
    return Notification.objects.get(kind="daily_summary")


def send() -> None:
    deliver(summary().deliveries.get().pk)


def states() -> list[str]:
    return list(Delivery.objects.filter(channel="daily").order_by("pk").values_list("state", flat=True))


def test_everything_of_a_day_is_one_mail(user: User, mailoutbox: list[Any]) -> None:
    for number in range(3):
        tell(user, key=f"fact-{number}", context={"dataset_label": f"Orders {number}"})
    assert (mailoutbox, summaries.send_due()) == ([], 0)
    assert morning() == 1
    send()
    (mail,) = mailoutbox
    assert (mail.to, mail.subject) == (["ada@example.com"], "Your daily summary: 3 notifications")
    html = mail.alternatives[0].content
    for number in range(3):
        for body in (mail.body, html):
            assert f"Orders {number}" in body
            assert f"http://127.0.0.1:8000/exports/fact-{number}/" in body
    assert states() == [State.SENT] * 3
    assert (morning(), summary().deliveries.count()) == (0, 1)


def test_the_sweep_sends_it_and_publishes_no_single_delivery(user: User) -> None:
    tell(user)
    Delivery.objects.filter(channel="daily").update(next_attempt_at=Now())
    assert sweep()["daily summaries"] == 1
    assert Delivery.objects.get(channel="daily").published_at is None
    assert summary().deliveries.get().channel == "email"


def test_each_user_gets_their_own(user: User, mailoutbox: list[Any]) -> None:
    other = make_user("bob")
    choose(other, "export_failed")
    tell(user, key="of-ada", context={"dataset_label": "Ada's orders"})
    tell(other, key="of-bob", context={"dataset_label": "Bob's orders"})
    assert morning() == 2
    for delivery in Delivery.objects.filter(notification__kind="daily_summary"):
        deliver(delivery.pk)
    assert {mail.to[0]: "Bob's" in mail.body for mail in mailoutbox} == {
        "ada@example.com": False,
        "bob@example.com": True,
    }


def test_what_the_user_has_read_is_left_out(user: User, mailoutbox: list[Any]) -> None:
    tell(user, key="read", context={"dataset_label": "Seen orders"})
    Notification.objects.all().mark_read()
    tell(user, key="unread", context={"dataset_label": "New orders"})
    assert morning() == 1
    send()
    assert ("New orders" in mailoutbox[0].body, "Seen orders" in mailoutbox[0].body) == (True, False)
    assert states() == [State.SKIPPED, State.SENT]


def test_there_is_no_mail_if_everything_was_read(user: User) -> None:
    tell(user)
    Notification.objects.all().mark_read()
    assert morning() == 0
    assert not Notification.objects.filter(kind="daily_summary").exists()
    assert Delivery.objects.get(channel="daily").error_message == "The user has read it on the site."


def test_a_long_day_is_counted(user: User, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "LINES", 2)
    for number in range(5):
        tell(user, key=f"fact-{number}")
    morning()
    send()
    assert mailoutbox[0].subject == "Your daily summary: 5 notifications"
    assert "- 3 more notifications" in mailoutbox[0].body
    assert "3 more notifications" in mailoutbox[0].alternatives[0].content


def test_what_comes_during_a_summary_is_in_the_next_one(user: User) -> None:
    tell(user, key="first")
    morning()
    tell(user, key="second")
    assert states() == [State.SENT, State.PENDING]
    assert morning() == 1
    assert Notification.objects.filter(kind="daily_summary").count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_send_one_summary(user: User) -> None:
    for number in range(20):
        tell(user, key=f"fact-{number}")
    Delivery.objects.filter(channel="daily").update(next_attempt_at=Now())
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        try:
            sweep()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sweep()
    assert summary().context["count"] == 20
    assert states() == [State.SENT] * 20


@pytest.mark.parametrize(
    ("now", "zone", "due"),
    [
        ("2026-07-27T05:59:59", "Europe/Vienna", "2026-07-27T06:00:00"),
        ("2026-07-27T06:00:00", "Europe/Vienna", "2026-07-28T06:00:00"),
        ("2026-10-24T12:00:00", "Europe/Vienna", "2026-10-25T07:00:00"),  # summer time ends in this night
        ("2026-07-27T12:00:00", "Pacific/Auckland", "2026-07-27T20:00:00"),
    ],
)
def test_it_is_due_in_the_morning_of_the_user(settings: Any, now: str, zone: str, due: str) -> None:
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": None}
    settings.TIME_ZONE = zone
    moment = daily.next_summary(User(), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert moment.astimezone(UTC).replace(tzinfo=None).isoformat() == due


def test_a_user_chooses_it_on_the_page(client: Client) -> None:
    user = make_user()
    client.force_login(user)
    page = client.get(PREFERENCES).content.decode()
    assert 'name="export_failed-daily"' in page
    assert "daily_summary" not in page
    client.post(PREFERENCES, {"export_failed-daily": "on"})
    assert {d.channel: d.state for d in tell(user).deliveries.all()} == {"daily": State.PENDING}


def test_without_the_setting_nobody_can_choose_it(client: Client, user: User, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"DAILY_SUMMARY_AT": ""}
    client.force_login(user)
    assert "export_failed-daily" not in client.get(PREFERENCES).content.decode()
    assert not tell(user).deliveries.filter(channel="daily").exists()


def test_one_click_ends_the_summaries(user: User, mailoutbox: list[Any], settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": "https://shop.example"}
    tell(user)
    morning()
    send()
    path = urlsplit(str(mailoutbox[0].message()["List-Unsubscribe"]).strip("<>")).path
    Client(enforce_csrf_checks=True).post(path, {"List-Unsubscribe": "One-Click"})
    assert not tell(user, key="later").deliveries.filter(channel="daily").exists()


def test_a_user_without_an_address_gets_none(user: User) -> None:
    User.objects.update(email="")
    user.refresh_from_db()
    tell(user)
    delivery = Delivery.objects.get(channel="daily")
    assert (delivery.state, delivery.error_message) == (State.SKIPPED, "The user has no e-mail address.")


def test_a_wrong_time_of_day_is_reported_with_the_fix(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"DAILY_SUMMARY_AT": "8 o'clock"}
    (fault,) = [fault for fault in checks.check_settings() if fault.id == "notifications.E013"]
    assert "08:00" in str(fault.hint)
