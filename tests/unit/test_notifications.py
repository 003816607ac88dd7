"""notify(), preferences, the bell, constraints and checks: what happens before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import IntegrityError, transaction
from django.template import Context, Template
from django.test import RequestFactory

from notifications import checks
from notifications.api import is_local, notify, send_again
from notifications.context import Bell, bell
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
    """The hints that would go to the broker."""
    sent: list[tuple[str, list[int]]] = []

    def send(task: str, pks: list[int]) -> bool:
        sent.append((task, pks))
        return True

    monkeypatch.setattr("durable.hints.send", send)
    return sent


def bell_of(user: User | AnonymousUser) -> Bell:
    request = RequestFactory().get("/")
    request.user = user
    return bell(request)["bell"]


# --- notify ---------------------------------------------------------------------------------------------------------


def test_a_fact_is_told_through_each_channel(user: User) -> None:
    notification = tell(user)
    states = dict(notification.deliveries.values_list("channel", "state"))
    assert states == {"in_app": State.SENT, "email": State.PENDING}


def test_the_same_fact_is_told_once(user: User) -> None:
    first, second = tell(user), tell(user, kind="export_ready")
    assert first.pk == second.pk
    assert second.kind == "export_failed"
    assert Delivery.objects.count() == 2


def test_a_key_of_another_users_fact_is_refused(user: User) -> None:
    tell(user)
    with pytest.raises(ValueError, match="put the user into the key"):
        tell(make_user("bob"))


def test_the_hint_follows_the_commit(user: User, hints: list[Any], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        notification = tell(user)
        assert hints == []
    assert hints == [("notifications.tasks.deliver_notification", [mail_of(notification).pk])]
    assert mail_of(notification).published_at is not None


def test_a_transaction_that_fails_tells_nobody(user: User) -> None:
    with transaction.atomic():
        tell(user)
        transaction.set_rollback(True)
    assert not Notification.objects.exists()
    assert not Delivery.objects.exists()


def test_a_user_without_an_address_is_told_in_the_app(db: None) -> None:
    notification = tell(make_user(email=""))
    skipped = mail_of(notification)
    assert (skipped.state, skipped.error_code) == (State.SKIPPED, "unreachable")
    assert skipped.error_message == "The user has no e-mail address."
    assert Notification.objects.in_app().count() == 1


def test_nobody_writes_to_a_closed_account(db: None) -> None:
    assert mail_of(tell(make_user(is_active=False))).error_message == "The user's account is not active."


def test_preferences_decide(user: User) -> None:
    Preference.objects.create(user=user, kind="export_failed", channel="email", enabled=False)
    assert [d.channel for d in tell(user).deliveries.all()] == ["in_app"]
    Preference.objects.create(user=user, kind="export_failed", channel="in_app", enabled=False)
    assert notify(user, "export_failed", dedupe_key="other") is None
    assert not Notification.objects.filter(dedupe_key="other").exists()


def test_what_was_told_by_mail_alone_is_not_in_the_bell(user: User) -> None:
    Preference.objects.create(user=user, kind="export_failed", channel="in_app", enabled=False)
    tell(user)
    assert bell_of(user).unread == 0


def test_an_unknown_kind_names_the_known_ones(user: User) -> None:
    with pytest.raises(UnknownKind, match="export_ready"):
        notify(user, "export_reddy", dedupe_key="x")


@pytest.mark.parametrize(
    "link", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x()", "exports/"]
)
def test_a_link_to_elsewhere_is_refused(user: User, link: str) -> None:
    assert not is_local(link)
    with pytest.raises(ValueError, match="path on this site"):
        tell(user, link=link)


def test_text_that_no_database_takes_is_mended(user: User) -> None:
    assert tell(user, context={"reason": "a\x00b\ud800"}).context["reason"] == "ab?"


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
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
def test_half_a_fact_is_refused_by_the_database(user: User, lie: dict[str, Any]) -> None:
    pk = mail_of(tell(user)).pk
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.filter(pk=pk).update(**lie)


def test_one_delivery_a_channel(user: User) -> None:
    notification = tell(user)
    with pytest.raises(IntegrityError), transaction.atomic():
        Delivery.objects.create(notification=notification, channel="email")


def test_a_failed_delivery_gets_new_attempts_and_a_sent_one_does_not(user: User) -> None:
    delivery = mail_of(tell(user))
    failed = {"state": State.FAILED, "next_attempt_at": None, "error_code": "x", "error_message": "y", "attempt": 8}
    assert not send_again(delivery)
    Delivery.objects.filter(pk=delivery.pk).update(**failed)
    assert send_again(delivery)
    again = mail_of(delivery.notification)
    assert (again.state, again.attempt, again.attempt_limit, again.error_message) == (State.PENDING, 9, 17, "")
    assert not send_again(delivery)


def test_a_kind_of_the_past_still_has_a_text(user: User) -> None:
    notification = tell(user)
    notification.kind = "pigeon_returned"
    assert notification.text == "pigeon_returned"


# --- the bell -------------------------------------------------------------------------------------------------------


def test_the_bell_counts_what_is_unread(user: User) -> None:
    first, _second = tell(user, key="1"), tell(user, key="2")
    tell(make_user("bob"), key="3")
    Notification.objects.filter(pk=first.pk).mark_read()
    assert bell_of(user).unread == 1
    assert [told.dedupe_key for told in bell_of(user).latest] == ["2", "1"]


def test_reading_twice_keeps_the_first_moment(user: User) -> None:
    mine = Notification.objects.filter(pk=tell(user).pk)
    assert (mine.mark_read(), mine.mark_read()) == (1, 0)


def test_the_bell_says_99_and_more(user: User) -> None:
    for number in range(101):
        tell(user, key=str(number))
    assert bell_of(user).unread_text == "99+"


def test_a_page_without_the_bell_asks_nothing(user: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        bell_of(user)
        assert bell_of(AnonymousUser()).unread == 0
        assert bell_of(AnonymousUser()).latest == []
    with django_assert_num_queries(2):
        shown = bell_of(user)
        assert (shown.unread, shown.unread, shown.latest, shown.latest) == (0, 0, [], [])


# --- small things ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-08-03T14:00:00+00:00", "3 August 2026, 14:00 UTC"),
        ("soon", "soon"),
        ("2026-99-99T00:00:00Z", "2026-99-99T00:00:00Z"),
        ("2026-08-03T14:00:00", "2026-08-03T14:00:00"),
    ],
)
def test_moments_are_written_for_people(value: str, shown: str) -> None:
    template = Template("{% load notification_text %}{{ value|moment }}")
    assert template.render(Context({"value": value})) == shown


def test_a_line_is_one_line() -> None:
    assert one_line("Your export\r\nBcc: a@b\x0b\u2028c\x00 is  ready\x85") == "Your export Bcc: a@b c is ready"


def test_the_site_as_it_is_passes_its_checks() -> None:
    assert checks.check_settings() == []
    assert checks.check_templates() == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"SITE_URI": "http://x.example"}, "notifications.E001"),
        ({}, "notifications.E002"),
        ({"SITE_URL": "example.com"}, "notifications.E002"),
        ({"SITE_URL": "http://x.example", "ATTACHMENT_STORAGE": "attic"}, "notifications.E003"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(settings: Any, given: dict[str, str], fault: str) -> None:
    settings.NOTIFICATIONS = given
    assert [found.id for found in checks.check_settings()] == [fault]


def test_a_missing_template_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.channels.in_app.InApp.templates", ("postcard.txt",))
    found = checks.check_templates()
    assert len(found) == len(list(kinds))
    assert "notifications/export_ready/postcard.txt is missing" in found[0].msg
