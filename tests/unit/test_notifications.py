"""Tests of notify(), preferences, the bell, constraints and checks, without sending."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.template import Context, Template

from durable.databases import atomic, connection_of
from notifications import checks
from notifications.api import is_local, notify, send_again
from notifications.bell import Bell
from notifications.errors import UnknownKind
from notifications.kinds import kinds
from notifications.models import Delivery, Notification, Preference
from notifications.rendering import one_line
from tests.support.notices import mail_of, make_user, tell

pytestmark = pytest.mark.django_db
State = Delivery.State


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """The hints that would be sent to the broker."""
    sent: list[tuple[str, list[int]]] = []

    def send(task: str, pks: list[int]) -> bool:
        sent.append((task, pks))
        return True

    monkeypatch.setattr("durable.hints.send", send)
    return sent


# --- notify ---------------------------------------------------------------------------------------------------------


def test_a_notification_has_a_delivery_per_channel(user: User) -> None:
    notification = tell(user)
    states = dict(notification.deliveries.values_list("channel", "state"))
    assert states == {"in_app": State.SENT, "email": State.PENDING}


def test_a_repeated_key_returns_the_first_notification(user: User) -> None:
    first, second = tell(user), tell(user, kind="export_ready")
    assert first.pk == second.pk
    assert second.kind == "export_failed"
    assert Delivery.objects.count() == 2


def test_a_key_of_another_users_notification_is_refused(user: User) -> None:
    tell(user)
    with pytest.raises(ValueError, match="include the user in the key"):
        tell(make_user("bob"))


def test_the_hint_is_sent_after_the_commit(user: User, hints: list[Any], committing: Any) -> None:
    with committing():
        notification = tell(user)
        assert hints == []
    assert hints == [("notifications.tasks.deliver_notification", [mail_of(notification).pk])]
    assert mail_of(notification).published_at is not None


def test_a_rolled_back_transaction_notifies_no_user(user: User) -> None:
    with pytest.raises(ZeroDivisionError), atomic(Notification):
        tell(user)
        raise ZeroDivisionError
    assert not Notification.objects.exists()
    assert not Delivery.objects.exists()


def test_a_user_without_an_address_is_notified_only_in_the_app(db: None) -> None:
    notification = tell(make_user(email=""))
    skipped = mail_of(notification)
    assert (skipped.state, skipped.error_code) == (State.SKIPPED, "unreachable")
    assert skipped.error_message == "The user has no e-mail address."
    assert Notification.objects.in_app().count() == 1


def test_an_inactive_user_gets_no_mail(db: None) -> None:
    assert mail_of(tell(make_user(is_active=False))).error_message == "The user's account is not active."


def test_preferences_select_the_channels(user: User) -> None:
    Preference.objects.create(user=user, kind="export_failed", channel="email", enabled=False)
    assert [d.channel for d in tell(user).deliveries.all()] == ["in_app"]
    Preference.objects.create(user=user, kind="export_failed", channel="in_app", enabled=False)
    assert notify(user, "export_failed", dedupe_key="other") is None
    assert not Notification.objects.filter(dedupe_key="other").exists()


def test_a_notification_by_mail_only_is_not_in_the_bell(user: User) -> None:
    Preference.objects.create(user=user, kind="export_failed", channel="in_app", enabled=False)
    tell(user)
    assert Bell(user.pk).unread == 0


def test_the_error_for_an_unknown_kind_lists_the_known_ones(user: User) -> None:
    with pytest.raises(UnknownKind, match="export_ready"):
        notify(user, "export_reddy", dedupe_key="x")


@pytest.mark.parametrize(
    "link", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x()", "exports/"]
)
def test_a_link_to_another_site_is_refused(user: User, link: str) -> None:
    assert not is_local(link)
    with pytest.raises(ValueError, match="path on this site"):
        tell(user, link=link)


def test_text_is_made_storable(user: User) -> None:
    assert tell(user, context={"reason": "a\x00b\ud800"}).context["reason"] == "ab?"


def test_a_site_sets_the_default_channels(user: User, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"DEFAULT_CHANNELS": {"export_failed": ["email"]}}
    assert [d.channel for d in tell(user).deliveries.all()] == ["email"]
    assert tell(user, "export_ready", key="ready").deliveries.count() == 2
    Preference.objects.create(user=user, kind="export_failed", channel="in_app", enabled=True)
    assert tell(user, key="chosen").deliveries.count() == 2


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "sent"},
        {"state": "failed", "next_attempt_at": None},
        {"state": "skipped", "next_attempt_at": None, "error_code": "x"},
        {"state": "lost"},
        {"next_attempt_at": None},
        {"sent_at": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_inconsistent_rows_are_refused_by_the_database(user: User, fields: dict[str, Any]) -> None:
    pk = mail_of(tell(user)).pk
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.filter(pk=pk).update(**fields)


def test_one_delivery_per_channel(user: User) -> None:
    notification = tell(user)
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.create(notification=notification, channel="email")


def test_a_failed_delivery_can_be_sent_again_and_others_cannot(user: User) -> None:
    delivery = mail_of(tell(user))
    failed = {"state": State.FAILED, "next_attempt_at": None, "error_code": "x", "error_message": "y", "attempt": 8}
    assert not send_again(delivery)
    Delivery.objects.filter(pk=delivery.pk).update(**failed)
    assert send_again(delivery)
    again = mail_of(delivery.notification)
    assert (again.state, again.attempt, again.attempt_limit, again.error_message) == (State.PENDING, 9, 17, "")
    assert not send_again(delivery)


def test_a_removed_kind_still_has_a_text(user: User) -> None:
    notification = tell(user)
    notification.kind = "pigeon_returned"
    assert notification.text == "pigeon_returned"


# --- the bell -------------------------------------------------------------------------------------------------------


def test_the_bell_counts_unread_notifications(user: User) -> None:
    first, _second = tell(user, key="1"), tell(user, key="2")
    tell(make_user("bob"), key="3")
    Notification.objects.filter(pk=first.pk).mark_read()
    assert Bell(user.pk).unread == 1
    assert [latest.dedupe_key for latest in Bell(user.pk).latest] == ["2", "1"]


def test_marking_as_read_twice_keeps_the_first_time(user: User) -> None:
    mine = Notification.objects.filter(pk=tell(user).pk)
    assert (mine.mark_read(), mine.mark_read()) == (1, 0)


def test_the_bell_shows_at_most_99(user: User) -> None:
    for number in range(101):
        tell(user, key=str(number))
    assert Bell(user.pk).unread_text == "99+"


def test_a_page_without_the_bell_makes_no_queries(user: User, django_assert_num_queries: Any) -> None:
    ours = connection_of(Notification)
    with django_assert_num_queries(0, connection=ours):
        Bell(user.pk)
    with django_assert_num_queries(2, connection=ours):
        shown = Bell(user.pk)
        assert (shown.unread, shown.unread, shown.latest, shown.latest) == (0, 0, [], [])


# --- texts and checks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-08-03T14:00:00+00:00", "3 August 2026, 14:00 UTC"),
        ("soon", "soon"),
        ("2026-99-99T00:00:00Z", "2026-99-99T00:00:00Z"),
        ("2026-08-03T14:00:00", "2026-08-03T14:00:00"),
    ],
)
def test_date_times_are_formatted(value: str, shown: str) -> None:
    template = Template("{% load notification_text %}{{ value|moment }}")
    assert template.render(Context({"value": value})) == shown


def test_one_line_removes_line_breaks_and_control_characters() -> None:
    assert one_line("Your export\r\nBcc: a@b\x0b\u2028c\x00 is  ready\x85") == "Your export Bcc: a@b c is ready"


def test_the_site_passes_the_checks() -> None:
    assert checks.check_settings() == []
    assert checks.check_templates() == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "notifications.E002"),
        ({"SITE_URL": "example.com"}, "notifications.E002"),
        ({"SITE_URL": "http://x.example", "ATTACHMENT_STORAGE": "attic"}, "notifications.E003"),
        ({"SITE_URL": "http://x.example", "DEFAULT_CHANNELS": {"export_reddy": []}}, "notifications.E012"),
        ({"SITE_URL": "http://x.example", "DEFAULT_CHANNELS": {"export_ready": ["fax"]}}, "notifications.E012"),
    ],
    ids=str,
)
def test_wrong_settings_are_reported(settings: Any, given: dict[str, str], fault: str) -> None:
    settings.CARRYALL = given
    assert [found.id for found in checks.check_settings()] == [fault]


def test_a_missing_template_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.channels.in_app.InApp.templates", ("postcard.txt",))
    found = checks.check_templates()
    assert len(found) == sum(kind.allows("in_app") for kind in kinds)
    assert "notifications/export_ready/postcard.txt is missing" in found[0].msg
