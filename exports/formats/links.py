"""Targets of links: what a click on a URL or an e-mail address in a workbook or a PDF opens."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from django.utils.encoding import iri_to_uri

from exports.datasets import ColumnType

URL = re.compile(r"(?:https?|ftp)://[^\s\x00-\x20<>\"\\^`{|}]+", re.IGNORECASE)
"""Only schemes that open a page: a link must not run a script or open a file of the computer."""
ADDRESS = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
LONGEST = 2_079
"""Maximum length of a link's target in Excel. The PDF keeps to it as well."""


def target_of(kind: ColumnType, text: str) -> str | None:
    """Return the URI in ASCII that a value of a URL or EMAIL column links to; None if it is not a sound one."""
    target = _of_address(text) if kind is ColumnType.EMAIL else _of_url(text)
    return target if target and len(target) <= LONGEST else None


def _of_url(text: str) -> str | None:
    try:
        sound = URL.fullmatch(text) and urlsplit(text).hostname
        return iri_to_uri(text) if sound else None
    except ValueError:  # such as a bracket that is not closed, or a lone surrogate
        return None


def _of_address(text: str) -> str | None:
    if not ADDRESS.fullmatch(text):
        return None
    try:
        return "mailto:" + quote(text, safe="@+!$'*-._~")  # not "?" and "&", which would add headers
    except UnicodeEncodeError:
        return None
