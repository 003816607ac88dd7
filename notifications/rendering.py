"""Render the templates of a kind. The folder of a template is its kind, and its file name depends on the channel."""

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string


def template_name(kind: str, file: str) -> str:
    return f"notifications/{kind}/{file}"


def render(kind: str, file: str, context: Mapping[str, Any]) -> str:
    """Return the rendered template `file` of this kind, stripped. Raises TemplateDoesNotExist."""
    return render_to_string(template_name(kind, file), dict(context)).strip()


def one_line(text: str) -> str:
    """Return `text` as one printable line, so that it cannot inject a mail header."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
