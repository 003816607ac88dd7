"""Tests of the system checks of the exports app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core.checks import ERROR, WARNING, run_checks
from django.db.models import Avg, DecimalField, JSONField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from pytest_django import Settings

from exports.checks import (
    check_datasets,
    check_settings,
    check_store,
    check_time_zones,
    check_visibility_timeout,
)
from exports.conf import ExportSettings, export_settings
from exports.datasets import Column, ColumnType
from exports.demo.datasets import Orders
from tests.support.exports import Errands, registered
from tests.support.specimens import Specimens


def test_the_site_passes_all_checks() -> None:
    assert run_checks() == []


def test_an_unknown_key_is_reported(settings: Settings) -> None:
    settings.EXPORTS = {"WINDOWS": 3}
    (fault,) = check_settings()
    assert fault.id == "exports.E001"
    assert "windows" in fault.msg
    assert "conf.py" in str(fault.hint)


NUMBERS = ("KEEP_DAYS", "PART_SECONDS", "WINDOW", "MAX_OPEN_PER_USER", "MAX_PER_HOUR", "MAX_ATTEMPTS", "LINK_SECONDS")


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_that_is_not_positive_is_reported(key: str, value: int, settings: Settings) -> None:
    settings.EXPORTS = {key: value}
    (fault,) = check_settings()
    assert (fault.id, key in fault.msg) == ("exports.E002", True)


def test_a_relative_scratch_folder_is_reported(settings: Settings) -> None:
    settings.EXPORTS = {"SCRATCH_DIR": "scratch"}
    (fault,) = check_settings()
    assert (fault.id, "scratch" in fault.msg) == ("exports.E008", True)


def test_the_default_scratch_folder_does_not_depend_on_the_working_directory(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXPORTS = {}
    default = export_settings().scratch_dir
    monkeypatch.chdir(tmp_path)
    assert (export_settings().scratch_dir, default.is_absolute()) == (default, True)
    assert check_settings() == []


def test_every_checked_number_exists() -> None:
    assert all(hasattr(ExportSettings, key.lower()) for key in NUMBERS)


@pytest.mark.parametrize("alias", ["default", "nowhere"])
def test_a_storage_that_is_not_a_store_is_reported(alias: str, settings: Settings) -> None:
    settings.EXPORTS = {"STORAGE_ALIAS": alias}
    (fault,) = check_store()
    assert (fault.id, repr(alias) in fault.msg) == ("exports.E006", True)


@pytest.mark.parametrize(("visible", "ok"), [(601, True), (600, False), (300, False)])
def test_the_visibility_timeout_must_exceed_twice_the_hard_limit(
    monkeypatch: pytest.MonkeyPatch, visible: int, ok: bool
) -> None:
    options = current_app.conf.broker_transport_options | {"visibility_timeout": visible}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    monkeypatch.setitem(current_app.conf, "task_time_limit", 300)
    faults = check_visibility_timeout()
    assert [fault.id for fault in faults] == ([] if ok else ["exports.E003"])


def test_tasks_without_a_hard_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(current_app.conf, "task_time_limit", None)
    assert [fault.id for fault in check_visibility_timeout()] == ["exports.E003"]


class NoColumns(Errands):
    key = "no-columns"
    columns = ()


class TwoOfOneName(Errands):
    key = "two-of-one-name"
    columns = (Column("id", "Number"), Column("id", "Number again"))


class TwoInOne(Errands):
    key = "two,in-one"


class OneNameTwice(Errands):
    """The currency of an amount is a column with its own name."""

    key = "one-name-twice"
    columns = (
        Column("attempt", "Amount", ColumnType.MONEY, currency="EUR"),
        Column("attempt_currency", "Currency", source="done_by"),
    )


class OnlyInCapitals(Errands):
    key = "only-in-capitals"
    columns = (Column("id", "Number"), Column("ID", "Number", source="done_by"))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (NoColumns, "exports.E004"),
        (TwoOfOneName, "exports.E004"),
        (OneNameTwice, "exports.E004"),
        (OnlyInCapitals, "exports.E004"),
        (TwoInOne, "exports.E005"),
    ],
)
def test_an_invalid_dataset_is_reported(kind: type[Errands], code: str) -> None:
    with registered(kind):
        (fault,) = check_datasets()
    assert (fault.id, kind.key in fault.msg) == (code, True)


def test_a_column_that_cannot_be_read_is_reported_once() -> None:
    class Misspelt(Errands):
        key = "misspelt"
        columns = (Column("nmae", "Name"),)

    with registered(Misspelt):
        (fault,) = check_datasets()
    assert (fault.id, "nmae" in fault.msg) == ("exports.E007", True)


def test_date_times_without_a_zone_are_refused(settings: Settings) -> None:
    assert check_time_zones() == []
    settings.USE_TZ = False
    assert [fault.id for fault in check_time_zones()] == ["exports.E019"]


DOUBTS: dict[str, tuple[Column, str]] = {
    "float as text": (Column("ratio", "Ratio"), "Declare it as FLOAT."),
    "average as text": (Column("mean", "Mean", source=Avg("number")), "Declare it as DECIMAL."),
    "date as text": (Column("day", "Day"), "Declare it as DATE."),
    "whole number as text": (Column("whole", "Whole"), "Declare it as INTEGER."),
    "decimal as a whole number": (Column("number", "Number", ColumnType.INTEGER), "Declare it as DECIMAL."),
    "float as a decimal": (Column("ratio", "Ratio", ColumnType.DECIMAL), "Declare it as FLOAT."),
    "long decimal as a float": (Column("number", "Number", ColumnType.FLOAT), "Declare it as DECIMAL."),
    "number as a boolean": (Column("whole", "Whole", ColumnType.BOOLEAN), "Declare it as INTEGER."),
    "amount of floats": (Column("ratio", "Ratio", ColumnType.MONEY, currency="EUR"), "Declare it as FLOAT."),
}


def test_choices_of_the_field_that_the_column_lacks_are_reported() -> None:
    column = Column("status", "Status", ColumnType.CHOICE)
    with registered(type("Unworded", (Orders,), {"key": "unworded", "columns": (column,)})):
        (fault,) = check_datasets()
    assert fault.id == "exports.W007"
    assert "get_field('status').choices" in fault.msg


@pytest.mark.parametrize(("column", "fix"), DOUBTS.values(), ids=DOUBTS)
def test_a_column_type_other_than_the_fields_gives_a_warning(column: Column, fix: str) -> None:
    with registered(type("Doubtful", (Specimens,), {"key": "doubtful", "columns": (column,)})):
        (fault,) = check_datasets()
    assert (fault.id, fault.level) == ("exports.W007", WARNING)
    assert repr(column.name) in fault.msg
    assert fault.msg.endswith(fix)


TWO_LETTERS: Any = ["ab", "cd"]
WRONG: dict[str, tuple[Column, str]] = {
    "text as a number": (Column("text", "Text", ColumnType.INTEGER), "declare it as TEXT"),
    "date-time as a date": (Column("moment", "Moment", ColumnType.DATE), "declare it as DATETIME"),
    "date as a date-time": (Column("day", "Day", ColumnType.DATETIME), "declare it as DATE"),
    "number as a duration": (Column("whole", "Whole", ColumnType.DURATION), "declare it as INTEGER"),
    "choices of numbers for a text": (Column("text", "Text", ColumnType.CHOICE, choices={1: "One"}), "TEXT"),
    "choices that are not pairs": (Column("text", "Text", ColumnType.CHOICE, choices=TWO_LETTERS), "not pairs"),
}


@pytest.mark.parametrize(("column", "fix"), WRONG.values(), ids=WRONG)
def test_a_column_type_that_fits_no_value_of_the_field_gives_an_error(column: Column, fix: str) -> None:
    with registered(type("Wrong", (Specimens,), {"key": "wrong", "columns": (column,)})):
        (fault,) = check_datasets()
    assert (fault.id, fault.level) == ("exports.E007", ERROR)
    assert repr(column.name) in fault.msg
    assert fix in fault.msg


FINE = [
    Column("id", "Number"),
    Column("name", "Name"),
    Column("whole", "Whole", ColumnType.DECIMAL),
    Column("whole float", "Whole", ColumnType.FLOAT, "whole"),
    Column("mean", "Mean", ColumnType.FLOAT, Avg("number")),
    Column("flat", "Flat", ColumnType.INTEGER, Cast("number", DecimalField(max_digits=9, decimal_places=0))),
    Column("data", "Data", ColumnType.INTEGER, RawSQL("1", (), output_field=JSONField())),
    Column("by function", "Function", ColumnType.INTEGER, function=len),
    Column("gone", "Gone", ColumnType.NULL),
    Column("mood", "Mood", ColumnType.CHOICE, "whole", choices={1: "One"}),
    Column("truth", "Truth", ColumnType.BOOLEAN),
    Column("length", "Length", ColumnType.DURATION),
    Column("opens", "Opens", ColumnType.TIME),
]


@pytest.mark.parametrize("column", FINE, ids=[column.name for column in FINE])
def test_a_column_that_fits_its_field_gives_no_warning(column: Column) -> None:
    with registered(type("Fine", (Specimens,), {"key": "fine", "columns": (column,)})):
        assert check_datasets() == []
