"""Tests of the language and the text direction of pages and mails."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import translation


@pytest.mark.parametrize("template", ["base.html", "notifications/email_base.html"])
@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("he", "rtl"), ("de", "ltr")])
def test_language_and_direction_of_pages_and_mails(template: str, language: str, direction: str) -> None:
    with translation.override(language):
        page = render_to_string(template, {}, RequestFactory().get("/") if template == "base.html" else None)
    assert f'<html lang="{language}" dir="{direction}"' in page
    assert page.startswith("<!doctype html>")
