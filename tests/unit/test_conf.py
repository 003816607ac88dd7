"""Settings of each app: typed, read live, and unknown keys are refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from durable.conf import DurableSettings, durable_settings
from exports.conf import ExportSettings, export_settings
from notifications.conf import NotificationSettings, notification_settings

APPS = {
    "DURABLE": (durable_settings, DurableSettings),
    "EXPORTS": (export_settings, ExportSettings),
    "NOTIFICATIONS": (notification_settings, NotificationSettings),
}


@pytest.mark.parametrize("name", APPS)
def test_defaults_apply_without_the_setting(name: str, settings: Settings) -> None:
    read, defaults = APPS[name]
    delattr(settings, name)
    assert read() == defaults()


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("DURABLE", "LEASE_SECONDS", 7.0), ("EXPORTS", "WINDOW", 2), ("NOTIFICATIONS", "IN_BELL", 1)],
)
def test_settings_are_read_live(name: str, key: str, value: Any, settings: Settings) -> None:
    setattr(settings, name, {key: value})
    assert getattr(APPS[name][0](), key.lower()) == value


@pytest.mark.parametrize("name", APPS)
def test_an_unknown_key_is_refused_by_name(name: str, settings: Settings) -> None:
    setattr(settings, name, {"WINDOWS": 3})
    with pytest.raises(TypeError, match="windows"):
        APPS[name][0]()


def zone_of(user: User) -> str:
    return f"Zone/{user.get_username()}"


def test_the_site_can_define_the_time_zone_of_users(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Vienna"
    settings.EXPORTS = {}
    assert export_settings().time_zone_of(User(username="ada")) == "Europe/Vienna"
    settings.EXPORTS = {"USER_TIME_ZONE": f"{__name__}.zone_of"}
    assert export_settings().time_zone_of(User(username="ada")) == "Zone/ada"
