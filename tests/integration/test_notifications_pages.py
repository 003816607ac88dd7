"""Tests of the list, the bell, the preferences and the admin of notifications, through their URLs."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from notifications.models import Delivery, Notification, Preference
from tests.support.notices import mail_of, make_user, tell

pytestmark = pytest.mark.django_db
LIST, BELL = "/notifications/", "/notifications/bell/"
State = Delivery.State


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def body(response: Any) -> str:
    text: str = response.content.decode()
    return text


def test_the_list_shows_the_users_notifications_newest_first(signed_in: Client, user: User) -> None:
    tell(user, key="1", context={"dataset_label": "Invoices"})
    tell(user, key="2", context={"dataset_label": "<b>Orders</b>"})
    tell(make_user("bob"), key="3", context={"dataset_label": "Secrets"})
    page = body(signed_in.get(LIST))
    assert "Secrets" not in page
    assert "<b>Orders" not in page
    assert page.rindex("&lt;b&gt;Orders") < page.rindex("Invoices")


def test_the_list_has_pages(signed_in: Client, user: User, settings: Any) -> None:
    settings.CARRYALL = {**settings.CARRYALL, "PER_PAGE": 2, "IN_BELL": 0}
    for number in range(3):
        tell(user, key=str(number), context={"reason": f"reason-{number}"})
    first, second = body(signed_in.get(LIST)), body(signed_in.get(f"{LIST}?page=2"))
    assert ("reason-2" in first, "reason-0" in first) == (True, False)
    assert ("reason-2" in second, "reason-0" in second) == (False, True)
    assert signed_in.get(f"{LIST}?page=nonsense").status_code == 200


def test_opening_marks_as_read_and_redirects(signed_in: Client, user: User) -> None:
    notification = tell(user, link="/exports/42/")
    response = signed_in.get(notification.get_absolute_url())
    assert (response.status_code, response["Location"]) == (303, "/exports/42/")
    notification.refresh_from_db()
    assert notification.read_at is not None


@pytest.mark.parametrize("link", ["https://evil.example/", "//evil.example", ""])
def test_opening_never_redirects_to_another_site(signed_in: Client, user: User, link: str) -> None:
    notification = tell(user)
    Notification.objects.update(link=link)
    assert signed_in.get(notification.get_absolute_url())["Location"] == LIST


def test_another_users_notification_is_not_found(signed_in: Client) -> None:
    theirs = tell(make_user("bob"))
    assert signed_in.get(theirs.get_absolute_url()).status_code == 404
    theirs.refresh_from_db()
    assert theirs.read_at is None


def test_mark_all_as_read_marks_only_the_users_own(signed_in: Client, user: User) -> None:
    tell(user, key="1")
    theirs = tell(make_user("bob"), key="2")
    assert signed_in.get("/notifications/read-all/").status_code == 405
    assert signed_in.post("/notifications/read-all/").status_code == 303
    assert list(Notification.objects.unread()) == [theirs]


def test_the_bell_shows_the_count_and_stops_polling_after_sign_out(signed_in: Client, user: User) -> None:
    tell(user)
    assert 'data-unread="1"' in body(signed_in.get(BELL))
    signed_in.logout()
    assert signed_in.get(BELL).status_code == 286


@pytest.mark.parametrize("name", ["list", "read-all", "preferences"])
def test_anonymous_users_must_sign_in(client: Client, name: str) -> None:
    path = reverse(f"notifications:{name}")
    for response in (client.get(path), client.post(path)):
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("login"))


def test_preferences_are_saved_and_shown(signed_in: Client, user: User) -> None:
    path = reverse("notifications:preferences")
    assert "weekly" not in body(signed_in.get(path)), "only for staff"
    assert body(signed_in.get(path)).count("checked") == 6
    for _ in range(2):
        response = signed_in.post(path, {"export_ready-email": "on"})
        assert (response.status_code, response["Location"]) == (303, path)
    on = Preference.objects.filter(user=user, enabled=True)
    assert [(row.kind, row.channel) for row in on] == [("export_ready", "email")]
    assert Preference.objects.count() == 9
    assert body(signed_in.get(path)).count("checked") == 1


# --- the admin ------------------------------------------------------------------------------------------------------


def failed_mail(user: User) -> Delivery:
    delivery = mail_of(tell(user))
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.FAILED, next_attempt_at=None, error_code="mail_refused", error_message="550 no such user"
    )
    return delivery


def send_again(client: Client, *deliveries: Delivery) -> str:
    chosen = {"action": "send_again", "_selected_action": [delivery.pk for delivery in deliveries]}
    return body(client.post(reverse("admin:notifications_delivery_changelist"), chosen, follow=True))


def test_the_admin_sends_failed_deliveries_again_and_reports_others(admin_client: Client, user: User) -> None:
    failed = failed_mail(user)
    sent = Delivery.objects.get(channel="in_app")
    page = send_again(admin_client, failed, sent)
    assert "1 delivery will be sent again." in page
    assert "1 not changed" in page
    failed.refresh_from_db()
    sent.refresh_from_db()
    assert (failed.state, sent.state) == (State.PENDING, State.SENT)


def test_a_viewer_cannot_send_again(client: Client, user: User) -> None:
    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    client.force_login(viewer)
    failed = failed_mail(user)
    send_again(client, failed)
    failed.refresh_from_db()
    assert failed.state == State.FAILED


@pytest.mark.parametrize("model", ["notification", "delivery"])
def test_the_admin_is_read_only(admin_client: Client, user: User, model: str) -> None:
    pk = {"notification": tell(user).pk, "delivery": Delivery.objects.get(channel="email").pk}[model]
    changelist = reverse(f"admin:notifications_{model}_changelist")
    assert "ada" in body(admin_client.get(changelist, {"q": "ada@example.com"}))
    assert admin_client.get(reverse(f"admin:notifications_{model}_change", args=[pk])).status_code == 200
    assert admin_client.get(reverse(f"admin:notifications_{model}_add")).status_code == 403
    assert admin_client.post(reverse(f"admin:notifications_{model}_delete", args=[pk])).status_code == 403
