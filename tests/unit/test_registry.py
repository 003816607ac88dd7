"""Tests of the registry of datasets, formats and channels."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from durable.registry import Registry
from exports.errors import UnknownFormat
from exports.formats import formats


class Plain:
    key = "plain"


class AlsoPlain:
    key = "plain"


class Other:
    key = "other"


@pytest.fixture
def registry() -> Registry[Plain | AlsoPlain | Other]:
    return Registry("format", UnknownFormat)


def test_a_registered_class_is_found_by_its_key(registry: Registry[Plain]) -> None:
    assert registry.register(Plain) is Plain
    assert isinstance(registry.get("plain"), Plain)
    assert "plain" in registry
    assert "other" not in registry


def test_entries_come_in_the_order_of_registration(registry: Registry[Plain | Other]) -> None:
    registry.register(Plain)
    registry.register(Other)
    assert [entry.key for entry in registry] == ["plain", "other"]


def test_two_classes_with_the_same_key_are_refused(registry: Registry[Plain | AlsoPlain]) -> None:
    registry.register(Plain)
    with pytest.raises(ImproperlyConfigured, match=r"'plain' of .*AlsoPlain is taken by .*Plain: choose another key\."):
        registry.register(AlsoPlain)


def test_registering_a_class_again_changes_nothing(registry: Registry[Plain]) -> None:
    registry.register(Plain)
    registry.register(Plain)
    assert len(list(registry)) == 1


def test_the_error_for_an_unknown_key_lists_the_known_ones(registry: Registry[Plain | Other]) -> None:
    with pytest.raises(UnknownFormat, match=r"There is no format 'x'\. Choose one of: none\."):
        registry.get("x")
    registry.register(Plain)
    registry.register(Other)
    with pytest.raises(UnknownFormat, match=r"There is no format 'x'\. Choose one of: other, plain\."):
        registry.get("x")


def test_the_error_for_a_withheld_key_says_why(registry: Registry[Plain | Other]) -> None:
    registry.register(Other)
    registry.withhold("plain", "It needs a library.")
    with pytest.raises(UnknownFormat, match=r"^It needs a library. Choose one of: other.$"):
        registry.get("plain")
    assert "plain" not in registry


def test_unregistering_is_idempotent(registry: Registry[Plain]) -> None:
    registry.register(Plain)
    registry.unregister("plain")
    registry.unregister("plain")
    assert list(registry) == []


def test_formats_are_listed_in_one_order() -> None:
    """Forms offer them in this order and choose the first, whatever was imported first."""
    order = ["csv", "jsonl", "json", "parquet", "pdf", "xlsx", "zip"]
    assert [kind.key for kind in formats if kind.key in order] == order
