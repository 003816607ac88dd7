"""Table Schema: the fields of a file that programs read as a table, as in a Data Package (datapackage.org)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from exports.datasets import Column, ColumnType
from exports.datasets.coercion import python_of
from exports.datasets.marked import Base64, Email, FileName, IpText, JsonText, ListText, Url, UuidText

TYPES: Mapping[type, str] = {
    str: "string",
    int: "integer",
    Decimal: "number",
    float: "number",
    bool: "boolean",
    date: "date",
    datetime: "datetime",
    time: "time",
    timedelta: "duration",
    JsonText: "any",
    ListText: "array",
    **dict.fromkeys((UuidText, IpText, Base64, Url, Email, FileName), "string"),
}
"""The type of a field that holds the values of a Python type in its default form, which is ISO 8601 for dates."""
FORMATS: Mapping[type, str] = {UuidText: "uuid", Base64: "binary", Url: "uri", Email: "email"}
"""The format of texts that have one."""


def field(slot: Column, name: str, *, words: bool = False, **more: Any) -> dict[str, Any]:
    """Return the field of a slot. `words`: choices are written as their labels. `more` adds properties."""
    facts: dict[str, Any] = {"name": name, "title": str(slot.label)}
    if slot.type is ColumnType.NESTED:
        return facts | {"type": "array"}
    choice, python = slot.type is ColumnType.CHOICE, python_of(slot)
    kind = "string" if choice and words else TYPES[python]
    facts["type"] = kind
    if not choice and python in FORMATS:
        facts["format"] = FORMATS[python]
    if choice and not words and kind in ("string", "integer"):
        facts["categories"] = [{"value": value, "label": label} for value, label in slot.words.items()]
    return facts | more


def by_name(slots: Sequence[Column]) -> dict[str, Any]:
    """Return the schema of a file whose fields have the columns' names."""
    return {"fields": [field(slot, slot.name) for slot in slots]}
