"""A kind's templates. The name of a template says its kind and, through its file, its channel."""

from collections.abc import Mapping
from typing import Any

from django.template.loader import render_to_string


def template_name(kind: str, file: str) -> str:
    return f"notifications/{kind}/{file}"


def render(kind: str, file: str, context: Mapping[str, Any]) -> str:
    """The text of `file` for this kind, without blanks at its ends. Raises TemplateDoesNotExist."""
    return render_to_string(template_name(kind, file), dict(context)).strip()


def one_line(text: str) -> str:
    """`text` as one printable line: nothing in it can end a mail header and begin another."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
