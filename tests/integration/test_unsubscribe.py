"""Tests of the one-click unsubscription in mails (RFC 8058), as a mail program does it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from notifications.delivery import deliver
from notifications.models import Preference
from tests.support.notices import mail_of, make_user, tell

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _https(settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": "https://shop.example"}


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def program() -> Client:
    """A mail program: it has no session, and no token against CSRF."""
    return Client(enforce_csrf_checks=True)


def mailed(user: User, mailoutbox: list[Any], kind: str = "export_failed") -> Any:
    deliver(mail_of(tell(user, kind, key=f"{kind} {len(mailoutbox)}")).pk)
    return mailoutbox[-1].message()


def path_in(mail: Any) -> str:
    url = str(mail["List-Unsubscribe"]).strip("<>")
    assert url.startswith("https://shop.example/notifications/unsubscribe/")
    return urlsplit(url).path


def test_one_click_switches_the_mails_of_the_kind_off(user: User, program: Client, mailoutbox: list[Any]) -> None:
    mail = mailed(user, mailoutbox)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for _ in range(2):
        answer = program.post(path_in(mail), {"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, b"You are unsubscribed" in answer.content) == (200, True)
    row = Preference.objects.get()
    assert (row.user, row.kind, row.channel, row.enabled) == (user, "export_failed", "email", False)
    assert [d.channel for d in tell(user, key="later").deliveries.all()] == ["in_app"]
    assert tell(user, "export_ready", key="other kind").deliveries.count() == 2


def test_looking_at_the_link_changes_nothing(user: User, program: Client, mailoutbox: list[Any]) -> None:
    answer = program.get(path_in(mailed(user, mailoutbox)))
    assert (answer.status_code, b"Do you want no more e-mails" in answer.content) == (200, True)
    assert not Preference.objects.exists()


def test_a_required_kind_cannot_be_unsubscribed(user: User, mailoutbox: list[Any]) -> None:
    mail = mailed(user, mailoutbox, "export_on_behalf")
    assert mail["List-Unsubscribe"] is None
    assert mail["List-Unsubscribe-Post"] is None


def test_a_site_without_https_has_no_one_click(user: User, mailoutbox: list[Any], settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": "http://shop.example"}
    mail = mailed(user, mailoutbox)
    assert mail["List-Unsubscribe"].startswith("<http://shop.example/")
    assert mail["List-Unsubscribe-Post"] is None


def test_a_changed_link_is_not_found(user: User, program: Client, mailoutbox: list[Any]) -> None:
    path = path_in(mailed(user, mailoutbox))
    for wrong in (path[:-3] + "x/", "/notifications/unsubscribe/x/"):
        assert program.post(wrong).status_code == 404
    assert not Preference.objects.exists()


def test_the_link_of_a_deleted_user_writes_nothing(user: User, program: Client, mailoutbox: list[Any]) -> None:
    path = path_in(mailed(user, mailoutbox))
    user.delete()
    assert program.post(path).status_code == 200
    assert not Preference.objects.exists()
