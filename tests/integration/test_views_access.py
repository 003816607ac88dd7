"""Tests of access to the pages of exports, their methods, and the absence of inline scripts and styles."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from exports.models import Export
from exports.states import State
from tests.support.shop import in_state, orders

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def text(response: Any) -> str:
    """Return the text of the page without tags, as one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


PATHS = ("", "progress/", "download/")


@pytest.mark.parametrize("path", PATHS)
def test_another_users_export_is_not_found(page: Client, bob: User, path: str) -> None:
    export = in_state(bob, State.READY)
    answer = page.get(f"/exports/{export.uuid}/{path}")
    assert answer.status_code == 404
    assert "you do not have access to it" in text(answer)


@pytest.mark.parametrize("path", ["cancel/", "retry/"])
def test_another_users_export_cannot_be_changed(page: Client, bob: User, path: str) -> None:
    export = in_state(bob, State.QUEUED if path == "cancel/" else State.FAILED)
    assert page.post(f"/exports/{export.uuid}/{path}").status_code == 404
    assert Export.objects.get(pk=export.pk).state == export.state


@pytest.mark.parametrize("path", PATHS)
def test_anonymous_users_are_redirected_to_sign_in_and_back(client: Client, ada: User, path: str) -> None:
    url = f"/exports/{in_state(ada, State.READY).uuid}/{path}"
    answer = client.get(url)
    assert (answer.status_code, answer["Location"]) == (302, f"/accounts/login/?next={url}")


def test_a_fragment_is_never_replaced_by_the_sign_in_page(client: Client, ada: User) -> None:
    answer = client.get(f"/exports/{in_state(ada, State.QUEUED).uuid}/progress/", headers=HTMX)
    assert (answer.status_code, answer["HX-Refresh"]) == (401, "true")


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", ""), ("post", "X/"), ("post", "X/download/"), ("get", "X/cancel/"), ("get", "X/retry/")],
)
def test_wrong_methods_are_405(page: Client, ada: User, method: str, path: str) -> None:
    ask: Callable[..., Any] = getattr(page, method)
    assert ask("/exports/" + path.replace("X", str(in_state(ada, State.READY).uuid))).status_code == 405


def test_pages_are_never_cached(page: Client) -> None:
    assert "no-store" in page.get("/exports/")["Cache-Control"]


def test_no_page_has_inline_scripts_or_styles(page: Client, ada: User) -> None:
    orders(ada, 1)
    for state in State:
        answers = page.get(in_state(ada, state).get_absolute_url()), page.get("/exports/")
        html = "".join(answer.content.decode() for answer in answers)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)


def test_only_the_demos_sign_in_page_lists_the_demo_accounts(client: Client, settings: Any) -> None:
    assert "enterprise@example.com" in text(client.get("/accounts/login/"))
    settings.DEMO = False
    assert "example.com" not in text(client.get("/accounts/login/"))
