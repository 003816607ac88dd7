"""Tests of answers while the database is unavailable: status 503 with a message, on pages and in the API."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from django.test import Client

AWAY = pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")], ids=repr)
SESSION_QUERY = "django.contrib.sessions.backends.db.SessionStore._get_session_from_db"


@pytest.fixture
def visitor(ada: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    return client


@AWAY
@pytest.mark.parametrize("path", ["/exports/", "/notifications/", "/admin/", "/"])
def test_a_page_answers_503_with_a_message(visitor: Client, error: Exception, path: str) -> None:
    with patch(SESSION_QUERY, side_effect=error):
        answer = visitor.get(path)
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "Our database is not responding" in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert "gone" not in answer.text


@AWAY
def test_the_api_answers_503_in_json(visitor: Client, error: Exception) -> None:
    with patch(SESSION_QUERY, side_effect=error):
        answer = visitor.post("/api/exports/", {"dataset": "orders", "format": "csv"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert answer.json()["error"]["code"] == "database_away"


def test_other_errors_are_still_500(visitor: Client) -> None:
    with patch(SESSION_QUERY, side_effect=ZeroDivisionError):
        answer = visitor.get("/exports/")
    assert answer.status_code == 500
    assert "The error is on our side" in answer.text
    assert not answer.has_header("Retry-After")
