"""Tests of the database options: timeouts on every connection, and precedence of options in the URL."""

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
def test_a_dead_server_is_detected(name: str) -> None:
    assert 0 < options("postgresql://u:p@h/n")[name] <= 25_000


def test_options_that_poolers_reject_are_not_sent() -> None:
    assert "options" not in options("postgresql://u:p@h/n")


def test_server_side_cursors_are_switched_off_in_the_url() -> None:
    def switched_off(url: str) -> bool:
        return bool(_database(dict(dj_database_url.parse(url)))["DISABLE_SERVER_SIDE_CURSORS"])

    assert switched_off("postgresql://u:p@h/n?disable_server_side_cursors=true")
    assert not switched_off("postgresql://u:p@h/n")
    assert "disable_server_side_cursors" not in options("postgresql://u:p@h/n?disable_server_side_cursors=true")


def test_options_in_the_url_take_precedence() -> None:
    found = options("postgresql://u:p@h/n?connect_timeout=2&options=-c%20lock_timeout%3D1s&sslmode=require")
    assert (found["connect_timeout"], found["options"], found["sslmode"]) == (2, "-c lock_timeout=1s", "require")
    assert found["keepalives_idle"]
    assert options("sqlite:////tmp/db?timeout=3")["timeout"] == 3


def test_sqlite_transactions_are_immediate() -> None:
    found = options("sqlite:////tmp/db")
    assert (found["transaction_mode"], found["timeout"]) == ("IMMEDIATE", 20)
    assert "journal_mode=WAL" in found["init_command"]


def test_other_backends_get_no_options() -> None:
    assert options("mysql://u:p@h/n") == {}


NAMES = ("lock_timeout", "idle_in_transaction_session_timeout")


def timeouts(wrapper: Any) -> list[str]:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s), current_setting(%s)", NAMES)
        return list(cursor.fetchone())


@contextmanager
def new_connection(**options: str) -> Iterator[Any]:
    """Yield a second connection to the test database."""
    wrapper = connection.copy()
    wrapper.settings_dict = wrapper.settings_dict | {"OPTIONS": wrapper.settings_dict["OPTIONS"] | options}
    try:
        yield wrapper
    finally:
        wrapper.close()


@pytest.mark.django_db(transaction=True)
def test_waiting_for_a_lock_has_a_timeout() -> None:
    if connection.vendor != "postgresql":
        assert "timeout" in DATABASES["default"]["OPTIONS"]
        return
    assert timeouts(connection) == ["5s", "30s"]
    with new_connection() as fresh:
        assert timeouts(fresh) == ["5s", "30s"]
    with new_connection(options="-c lock_timeout=1s") as configured:
        assert timeouts(configured) == ["1s", "0"]
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE CURRENT_USER SET lock_timeout = '7s'")
    try:
        with new_connection() as fresh:
            assert timeouts(fresh) == ["7s", "30s"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER ROLE CURRENT_USER RESET lock_timeout")
