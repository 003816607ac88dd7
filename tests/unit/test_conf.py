"""The CARRYALL setting: typed, read live, with the keys of every app, and unknown keys are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from durable.conf import DurableSettings, durable_settings, unknown_keys
from exports.conf import ExportSettings, export_settings
from notifications.conf import NotificationSettings, notification_settings

APPS = {
    durable_settings: DurableSettings,
    export_settings: ExportSettings,
    notification_settings: NotificationSettings,
}


@pytest.mark.parametrize("read", APPS)
def test_defaults_apply_without_the_setting(read: Callable[[], Any], settings: Settings) -> None:
    del settings.CARRYALL
    assert read() == APPS[read]()


@pytest.mark.parametrize(
    ("read", "key", "value"),
    [(durable_settings, "LEASE_SECONDS", 7.0), (export_settings, "WINDOW", 2), (notification_settings, "IN_BELL", 1)],
)
def test_settings_are_read_live(read: Callable[[], Any], key: str, value: Any, settings: Settings) -> None:
    settings.CARRYALL = {key: value}
    assert getattr(read(), key.lower()) == value


def test_a_key_belongs_to_one_app() -> None:
    names = [field.name for declared in APPS.values() for field in fields(declared)]
    assert len(names) == len(set(names))


def test_unknown_keys_are_found_with_the_most_similar_one(settings: Settings) -> None:
    settings.CARRYALL = {"LEASE_SECOND": 3, "KEEP_DAYS": 1, "ZZZ": 0}
    assert list(unknown_keys()) == [("LEASE_SECOND", "LEASE_SECONDS"), ("ZZZ", "")]


def zone_of(user: User) -> str:
    return f"Zone/{user.get_username()}"


def test_the_site_can_define_the_time_zone_of_users(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Vienna"
    settings.CARRYALL = {}
    assert notification_settings().time_zone_of(User(username="ada")) == "Europe/Vienna"
    settings.CARRYALL = {"USER_TIME_ZONE": f"{__name__}.zone_of"}
    assert notification_settings().time_zone_of(User(username="ada")) == "Zone/ada"
