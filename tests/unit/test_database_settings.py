"""Every wait for the database ends: what its connections are opened with, and that a URL's own options stand."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", ["lock_timeout", "idle_in_transaction_session_timeout"])
def test_a_lock_is_not_waited_for_without_end(name: str) -> None:
    assert f"-c {name}=" in options("postgresql://u:p@h/n")["options"]


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


@pytest.mark.django_db
def test_the_server_has_taken_them() -> None:
    if connection.vendor != "postgresql":
        assert "timeout" in DATABASES["default"]["OPTIONS"]
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout'), current_setting('tcp_user_timeout')")
        lock, _ = cursor.fetchone()
    assert lock == "5s"
