"""Tests that no URL is hard-coded, so that the site and its admin can be mounted anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.conf import settings as site
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.urls import get_script_prefix, set_script_prefix

from deploy.steps import ROOT

ERRORS = sorted(path.name for path in (ROOT / "templates").glob("[45]*.html"))
SOURCES = ("config", "durable", "exports", "notifications", "templates")
HARD_CODED = re.compile(r"""["'(=]/(admin|exports|api|notifications|accounts)/""")


@pytest.fixture
def _under_a_prefix() -> Iterator[None]:
    before = get_script_prefix()
    assert site.STATIC_URL == "/static/"  # cached at the first access, so it does not get this prefix
    set_script_prefix("/shop/")
    yield
    set_script_prefix(before)


@pytest.mark.django_db
@pytest.mark.usefixtures("_under_a_prefix")
@pytest.mark.parametrize("name", ERRORS)
def test_error_pages_link_to_the_site_under_its_prefix(name: str) -> None:
    request = RequestFactory().get("/")
    request.user = User(username="ada")
    page = render_to_string(name, request=request)
    links = re.findall(r'href="(/[^"]*)"', page)
    assert "/shop/exports/" in links
    assert [link for link in links if not link.startswith(("/shop/", "/static/"))] == []


def test_no_source_has_a_hard_coded_url() -> None:
    """URL patterns and texts do not match the pattern."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".html", ".txt", ".js", ".css")
        for line in path.read_text().splitlines()
        if HARD_CODED.search(line)
    ]
    assert found == []
