"""Conversion of values to the Python type that their column declares. Lossy conversions are refused.

It is used both for reading rows (`exports.datasets.source`) and for writing them (`exports.formats.values`), so that
the type of a cell never depends on its value.
"""

from __future__ import annotations

import json
import operator
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import ip_interface
from math import isinf
from pathlib import PurePath
from types import NoneType
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.files import File
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from durable.clock import aware
from exports.datasets.columns import Column, ColumnType
from exports.datasets.marked import Base64, Email, FileName, IpText, JsonText, ListText, Marked, Url, UuidText
from exports.datasets.texts import Unfit, as_text
from exports.errors import DatasetFailed, ExportError, of_cell

PYTHON: dict[ColumnType, type] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.DECIMAL: Decimal,
    ColumnType.FLOAT: float,
    ColumnType.BOOLEAN: bool,
    ColumnType.CHOICE: str,
    ColumnType.NULL: str,
    ColumnType.DATE: date,
    ColumnType.DATETIME: datetime,
    ColumnType.TIME: time,
    ColumnType.DURATION: timedelta,
    ColumnType.JSON: JsonText,
    ColumnType.LIST: ListText,
    ColumnType.UUID: UuidText,
    ColumnType.IP: IpText,
    ColumnType.BINARY: Base64,
    ColumnType.URL: Url,
    ColumnType.EMAIL: Email,
    ColumnType.FILE: FileName,
}
"""The type of a slot's values, which may also be None. A CHOICE has the type of its choices' stored values."""
KINDS = {python: kind for kind, python in PYTHON.items() if kind not in (ColumnType.CHOICE, ColumnType.NULL)}
"""The column type that holds exactly the values of a Python type."""
TZINFO = operator.attrgetter("tzinfo")
SHOWN = 40
"""Maximum length of a value in an error message."""


def python_of(slot: Column) -> type:
    """Return the Python type of the slot's values."""
    if slot.type is ColumnType.CHOICE:
        stored = set(map(type, slot.words))
        return stored.pop() if len(stored) == 1 and stored <= set(KINDS) else str
    return PYTHON[slot.type]


class Typed:
    """Converts the values of a slot to its type, many at a time. `python` is that type."""

    def __init__(self, slot: Column) -> None:
        self.python = python_of(slot)
        self._slot = slot
        self._convert = CONVERTERS[self.python]
        self._usual = {self.python, NoneType}
        self._zoned = {datetime: True, time: False}.get(self.python)

    def __call__(self, values: Sequence[Any], keys: Sequence[Any] | None = None) -> Sequence[Any]:
        """Return `values`, each of the slot's type or None. `keys` of the rows are for errors. Raises DatasetFailed."""
        if set(map(type, values)) <= self._usual and self._fits(values):
            return values
        return list(self._converted(values, keys))

    def _fits(self, values: Sequence[Any]) -> bool:
        """Return whether date-times have a time zone, and times have none."""
        if self._zoned is None:
            return True
        zones = set(map(TZINFO, filter(None, values)))
        return None not in zones if self._zoned else zones <= {None}

    def _converted(self, values: Sequence[Any], keys: Sequence[Any] | None) -> Iterator[Any]:
        for place, value in enumerate(values):
            try:
                yield None if value is None else self._convert(value)
            except (ExportError, SoftTimeLimitExceeded):
                raise
            except Exception as error:
                key = keys[place] if keys is not None else None
                raise self._fault(error, key, value) from error

    def _fault(self, error: Exception, key: Any, value: Any) -> ExportError:
        if not isinstance(error, Unfit):  # raised by the value's own code
            return of_cell(error, key, self._slot.label)
        hint = error.hint or _default_hint(value)
        return DatasetFailed.misfit(self._slot.label, key, _shown(value), self._slot.type.name, hint)


# --- one value ------------------------------------------------------------------------------------------------------


def _as_int(value: Any) -> int:
    match value:
        case Enum():
            return _as_int(value.value)
        case float() if value.is_integer():
            return int(value)
        case Decimal() if value.is_finite() and value == value.to_integral_value():
            return int(value)
        case float() | Decimal():
            raise Unfit(_("Declare the column as DECIMAL or FLOAT, or round the value."))
    try:
        return int(operator.index(value))
    except TypeError:
        raise Unfit from None


def _as_decimal(value: Any) -> Decimal:
    match value:
        case Enum():
            return _as_decimal(value.value)
        case Decimal():
            return Decimal(value)
        case float():
            return Decimal(repr(float(value)))  # shortest digits: 0.1 stays 0.1
        case _:
            return Decimal(_as_int(value))


def _as_float(value: Any) -> float:
    match value:
        case Enum():
            return _as_float(value.value)
        case float():
            return float(value)
        case Decimal():
            number = float(value)
            if isinf(number) and value.is_finite():
                raise Unfit(_("Declare the column as DECIMAL."))
            return number
    whole = _as_int(value)
    try:
        number = float(whole)
    except OverflowError:
        raise Unfit(_("Declare the column as INTEGER.")) from None
    if number != whole:
        raise Unfit(_("Declare the column as INTEGER."))
    return number


def _as_bool(value: Any) -> bool:
    if isinstance(value, Enum):
        return _as_bool(value.value)
    if isinstance(value, int) and value in (0, 1):  # SQLite returns these for an expression
        return bool(value)
    raise Unfit


def _as_date(value: Any) -> date:
    if isinstance(value, datetime):
        raise Unfit(_("Declare the column as DATETIME, or return the date of the value."))
    if isinstance(value, date):
        return date.fromordinal(value.toordinal())
    raise Unfit


def _as_datetime(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise Unfit
    if value.tzinfo is None and settings.USE_TZ:
        raise Unfit(_("Give it a time zone, with django.utils.timezone.make_aware()."))
    return aware(datetime.combine(value.date(), value.timetz()))


def _as_time(value: Any) -> time:
    if not isinstance(value, time):
        raise Unfit
    if value.tzinfo is not None:
        raise Unfit(_("Return a time without a zone, or a date-time."))
    return time(value.hour, value.minute, value.second, value.microsecond, fold=value.fold)


def _as_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return timedelta(value.days, value.seconds, value.microseconds)
    raise Unfit


def _as_json(value: Any) -> JsonText:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=as_text)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unfit(_("Return a value that JSON can represent: NaN and infinity are not among them.")) from error
    return JsonText(text)


def _as_list(value: Any) -> ListText:
    if isinstance(value, dict):
        raise Unfit(_("Declare the column as JSON."))
    if not isinstance(value, list | tuple):
        raise Unfit(_("Return a list."))
    return ListText(_as_json(value))


def _as_uuid(value: Any) -> UuidText:
    if isinstance(value, str):
        try:
            value = UUID(value)
        except ValueError:
            raise Unfit from None
    if isinstance(value, UUID):
        return UuidText(value)
    raise Unfit


def _as_ip(value: Any) -> IpText:
    text = as_text(value)
    try:
        ip_interface(text)
    except ValueError:
        raise Unfit from None
    return IpText(text)


def _as_base64(value: Any) -> Base64:
    if isinstance(value, bytes | bytearray | memoryview):
        return Base64(b64encode(value).decode())
    raise Unfit(_("Return bytes."))


def _as_file_name(value: Any) -> FileName | None:
    if isinstance(value, File):  # as in a model's FileField; without a file its name is None
        return FileName(value.name) if value.name else None
    if isinstance(value, str | PurePath):
        return FileName(as_text(value))
    raise Unfit(_("Return a file, or its name."))


CONVERTERS: dict[type, Callable[[Any], Any]] = {
    str: as_text,
    int: _as_int,
    Decimal: _as_decimal,
    float: _as_float,
    bool: _as_bool,
    date: _as_date,
    datetime: _as_datetime,
    time: _as_time,
    timedelta: _as_duration,
    JsonText: _as_json,
    ListText: _as_list,
    UuidText: _as_uuid,
    IpText: _as_ip,
    Base64: _as_base64,
    Url: lambda value: Url(as_text(value)),
    Email: lambda value: Email(as_text(value)),
    FileName: _as_file_name,
}
PLAIN = tuple(kind for kind in CONVERTERS if not issubclass(kind, Marked))
"""The nine types that every format writes."""


# --- error messages -------------------------------------------------------------------------------------------------


def _shown(value: Any) -> str:
    """Return the value for an error message: its text if it is a plain value, and its type."""
    kind = type(value).__name__
    if type(value) in KINDS:
        return f"{Truncator(str(value)).chars(SHOWN)} ({kind})"
    return kind


def _default_hint(value: Any) -> str:
    known = next((kind for python, kind in KINDS.items() if type(value) is python), ColumnType.TEXT)
    return _("Declare the column as %(type)s, or return a value of the declared type.") % {"type": known.name}
