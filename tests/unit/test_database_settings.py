"""Every wait for the database ends: what its connections are opened with, and that a URL's own options stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dj_database_url
import pytest
from django.db import connection

from config.settings import DATABASES, _database


def options(url: str) -> dict[str, Any]:
    return dict(_database(dict(dj_database_url.parse(url)))["OPTIONS"])


@pytest.mark.parametrize(
    "name", ["connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"]
)
def test_a_vanished_server_is_noticed(name: str) -> None:
    assert 0 < options("postgresql://u:p@h/n")[name] <= 25_000


def test_a_pooler_is_not_sent_what_it_refuses() -> None:
    assert "options" not in options("postgresql://u:p@h/n")


def test_server_side_cursors_are_switched_off_in_the_url() -> None:
    def switched_off(url: str) -> bool:
        return bool(_database(dict(dj_database_url.parse(url)))["DISABLE_SERVER_SIDE_CURSORS"])

    assert switched_off("postgresql://u:p@h/n?disable_server_side_cursors=true")
    assert not switched_off("postgresql://u:p@h/n")
    assert "disable_server_side_cursors" not in options("postgresql://u:p@h/n?disable_server_side_cursors=true")


def test_the_urls_own_options_stand() -> None:
    found = options("postgresql://u:p@h/n?connect_timeout=2&options=-c%20lock_timeout%3D1s&sslmode=require")
    assert (found["connect_timeout"], found["options"], found["sslmode"]) == (2, "-c lock_timeout=1s", "require")
    assert found["keepalives_idle"]
    assert options("sqlite:////tmp/db?timeout=3")["timeout"] == 3


def test_sqlite_writes_in_turn() -> None:
    found = options("sqlite:////tmp/db")
    assert (found["transaction_mode"], found["timeout"]) == ("IMMEDIATE", 20)
    assert "journal_mode=WAL" in found["init_command"]


def test_another_backend_keeps_its_options_to_itself() -> None:
    assert options("mysql://u:p@h/n") == {}


NAMES = ("lock_timeout", "idle_in_transaction_session_timeout")


def in_force(wrapper: Any) -> list[str]:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s), current_setting(%s)", NAMES)
        return list(cursor.fetchone())


@contextmanager
def another(**options: str) -> Iterator[Any]:
    """A second connection to the tests' PostgreSQL."""
    wrapper = connection.copy()
    wrapper.settings_dict = wrapper.settings_dict | {"OPTIONS": wrapper.settings_dict["OPTIONS"] | options}
    try:
        yield wrapper
    finally:
        wrapper.close()


@pytest.mark.django_db(transaction=True)
def test_a_lock_is_not_waited_for_without_end() -> None:
    if connection.vendor != "postgresql":
        assert "timeout" in DATABASES["default"]["OPTIONS"]
        return
    assert in_force(connection) == ["5s", "30s"]
    with another() as fresh:
        assert in_force(fresh) == ["5s", "30s"]
    with another(options="-c lock_timeout=1s") as told:
        assert in_force(told) == ["1s", "0"]
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE CURRENT_USER SET lock_timeout = '7s'")
    try:
        with another() as fresh:
            assert in_force(fresh) == ["7s", "30s"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER ROLE CURRENT_USER RESET lock_timeout")
