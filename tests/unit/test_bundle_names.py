"""Names of folders and files in a bundle, and the description of columns in its manifest."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F, TextChoices

from exports.datasets import Column, ColumnType
from exports.formats import formats
from exports.formats.context import folders, slug
from exports.formats.zip import limit_of
from exports.formats.zip.format import SIZES
from exports.formats.zip.manifest import _column


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("orders", "orders"),
        ("../../etc/passwd", "etcpasswd"),
        ("..", "export"),
        ("", "export"),
        ("C:\\windows", "cwindows"),
        ("Größe", "groe"),
        ("東京", "export"),
        ("con", "con-data"),
        ("COM1", "com1-data"),
        ("a\0b\nc", "ab-c"),
        ("x" * 300, "x" * 80),
    ],
)
def test_any_key_becomes_a_safe_name(key: str, name: str) -> None:
    assert slug(key) == name


def test_folder_names_are_unique() -> None:
    assert folders(["a b", "a-b", "A B", "a-b-2"]) == {"a b": "a-b", "a-b": "a-b-2", "A B": "a-b-3", "a-b-2": "a-b-2-2"}


class Size(TextChoices):
    SMALL = "s", "Small"
    LARGE = "l", "Large"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("n", "Number", ColumnType.INTEGER), {"type": "integer"}),
        (Column("n", "Price", ColumnType.MONEY, currency="EUR"), {"type": "money", "currency": "EUR"}),
        (
            Column("n", "Price", ColumnType.MONEY, currency=F("code")),
            {"type": "money", "currency_column": "n_currency"},
        ),
        (
            Column("n", "Size", ColumnType.CHOICE, choices=Size),
            {"type": "choice", "choices": [{"value": "s", "label": "Small"}, {"value": "l", "label": "Large"}]},
        ),
    ],
)
def test_the_manifest_describes_a_column(column: Column, expected: dict[str, Any]) -> None:
    assert _column(column) == {"name": "n", "label": str(column.label)} | expected


def test_each_volume_option_has_a_size_in_bytes() -> None:
    (option,) = formats.get("zip").options
    assert [value for value, _ in option.choices] == list(SIZES)
    assert [limit_of({"volume": value}) for value in SIZES] == [None, 50 * 10**6, 500 * 10**6, 2 * 10**9, 4 * 10**9]
    assert limit_of({}) is None
