"""Tests of what users are called. tests/hosts has a site with another user model."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User

from durable import users

pytestmark = pytest.mark.django_db


def test_a_user_without_a_full_name_is_called_by_the_sign_in_name(ada: User) -> None:
    assert (users.full_name_of(ada), users.name_of(ada)) == ("", "ada")
    ada.first_name, ada.last_name = "Ada", "Lovelace"
    assert (users.full_name_of(ada), users.name_of(ada)) == ("Ada Lovelace", "Ada Lovelace")


@pytest.mark.parametrize(("address", "found"), [("ada@example.com", "ada@example.com"), (" ", ""), ("", "")])
def test_the_address(ada: User, address: str, found: str) -> None:
    ada.email = address
    assert users.address_of(ada) == found


def test_users_are_searched_for_by_name_and_address() -> None:
    assert users.search_fields("owner__") == ["owner__username", "owner__email"]


def test_one_field_for_name_and_address_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "USERNAME_FIELD", "email")
    assert users.search_fields() == ["email"]


@pytest.mark.parametrize("name", ["mailbox", "groups"])
def test_what_is_no_value_in_the_database_is_not_searched(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(User, "EMAIL_FIELD", name)
    assert users.search_fields() == ["username"]


def test_staff_are_active_and_have_the_permission(ada: User, bob: User) -> None:
    User.objects.create_superuser("gone", is_active=False)
    User.objects.create_superuser("boss")
    for user in (ada, bob):
        user.user_permissions.add(Permission.objects.get(codename="view_usagereport"))
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    User.objects.create_user("clerk", is_staff=True)
    assert {user.get_username() for user in users.staff("exports.view_usagereport")} == {"boss", "ada"}
