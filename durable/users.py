"""The site's users, whatever their model: how they are named, addressed and searched for, and who the staff are."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist


def full_name_of(user: AbstractBaseUser) -> str:
    """Return the user's full name, or "" if the model or the user has none."""
    full_name = getattr(user, "get_full_name", None)
    return str(full_name() or "").strip() if full_name else ""


def name_of(user: AbstractBaseUser) -> str:
    """Return the user's full name, or else the name that the user signs in with."""
    return full_name_of(user) or user.get_username()


def address_of(user: AbstractBaseUser) -> str:
    """Return the user's e-mail address, or "" if the model or the user has none."""
    return str(getattr(user, user.get_email_field_name(), "") or "").strip()


def search_fields(prefix: str = "") -> list[str]:
    """Return the fields by which people search for users: the sign-in name and the e-mail address.

    `prefix` is the lookup of the user, such as "owner__". A name that is not a field, or is a relation, is left out.
    """
    model = get_user_model()
    names = dict.fromkeys((model.USERNAME_FIELD, model.get_email_field_name()))
    return [prefix + name for name in names if _is_value(name)]


def staff(permission: str) -> list[AbstractBaseUser]:
    """Return the active staff who have this permission. Reads all users if `is_staff` is not a field of the model."""
    flags = dict.fromkeys(filter(_is_value, ("is_staff", "is_active")), True)
    users: Any = get_user_model()._default_manager.filter(**flags)
    return [
        user
        for user in users.iterator()
        if getattr(user, "is_staff", False) and user.is_active and user.has_perm(permission)
    ]


def _is_value(name: str) -> bool:
    """Return whether users have a database field of this name that is not a relation."""
    try:
        field = get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return not field.is_relation
