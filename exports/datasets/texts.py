"""Conversion of values to text, without loss."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import isroutine
from math import isfinite
from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from durable.clock import aware

ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+", re.IGNORECASE)
"""Matches the text that Python makes of an object without a text of its own."""


class Unfit(Exception):
    """A value that cannot be converted to the declared type without loss. `hint` says how to fix the column."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


def as_text(value: Any) -> str:
    """Return a value as text, without loss. Raises Unfit if it has no text of its own."""
    return next(change for kinds, change in TEXTS if isinstance(value, kinds))(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=as_text)
    except (TypeError, ValueError) as error:
        raise Unfit(_("Return text, or a value that JSON can represent.")) from error


def _text_of_object(value: Any) -> str:
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, BaseManager | QuerySet | RawQuerySet | Iterator | set | frozenset):
        raise Unfit(_("Join its items into one text."))
    if isroutine(value) or isinstance(value, type):
        raise Unfit(_("Call it, and return its result."))
    if not (isinstance(value, Model) and type(value).__str__ is Model.__str__):
        text = str(value)
        if not ADDRESS.search(text):
            return str.__str__(text)
    raise Unfit(_("Return one of its attributes, or give its class a __str__() method."))


def float_text(value: float) -> str:
    """Return the shortest digits that give back the same float; NaN, Infinity or -Infinity as Decimal writes them."""
    return repr(float(value)) if isfinite(value) else str(Decimal(value))


TEXTS: Sequence[tuple[type | tuple[type, ...], Callable[[Any], str]]] = (
    (Enum, lambda value: as_text(value.value)),
    (str, str.__str__),
    (bool, {True: "true", False: "false"}.__getitem__),
    (int, lambda value: str(int(value))),
    (float, float_text),
    (Decimal, "{:f}".format),
    (datetime, lambda value: (value if settings.USE_TZ else aware(value)).isoformat()),
    ((date, time), lambda value: value.isoformat()),
    (timedelta, duration_iso_string),
    ((bytes, bytearray, memoryview), lambda value: bytes(value).hex()),
    ((dict, list, tuple), _json),
    (object, _text_of_object),
)
"""Converters by type; the first match applies."""
