"""What people and programs see while the database is away: 503, in words, and never a page of ours that has broken."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from django.test import Client

AWAY = pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")], ids=repr)
ASKED = "django.contrib.sessions.backends.db.SessionStore._get_session_from_db"


@pytest.fixture
def visitor(ada: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    return client


@AWAY
@pytest.mark.parametrize("path", ["/exports/", "/notifications/", "/admin/", "/"])
def test_a_page_says_come_back(visitor: Client, error: Exception, path: str) -> None:
    with patch(ASKED, side_effect=error):
        answer = visitor.get(path)
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "Our database does not answer just now" in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert "gone" not in answer.text


@AWAY
def test_a_program_is_told_in_its_own_way(visitor: Client, error: Exception) -> None:
    with patch(ASKED, side_effect=error):
        answer = visitor.post("/api/exports/", {"dataset": "orders", "format": "csv"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert answer.json()["error"]["code"] == "database_away"


def test_another_fault_stays_a_fault_of_ours(visitor: Client) -> None:
    with patch(ASKED, side_effect=ZeroDivisionError):
        answer = visitor.get("/exports/")
    assert answer.status_code == 500
    assert "The fault is ours" in answer.text
    assert not answer.has_header("Retry-After")
