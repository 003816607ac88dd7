"""System checks: what would go wrong in silence is refused at the start, with the mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import current_app
from django.core.checks import run_checks
from pytest_django import Settings

from exports.checks import check_datasets, check_settings, check_store, check_visibility_timeout
from exports.conf import ExportSettings, export_settings
from exports.datasets import Column
from tests.support.exports import Errands, registered


def test_the_site_as_it_is_has_no_fault() -> None:
    assert run_checks() == []


def test_a_misspelt_key_is_named(settings: Settings) -> None:
    settings.EXPORTS = {"WINDOWS": 3}
    (fault,) = check_settings()
    assert fault.id == "exports.E001"
    assert "windows" in fault.msg
    assert "conf.py" in str(fault.hint)


NUMBERS = ("KEEP_DAYS", "PART_SECONDS", "WINDOW", "MAX_OPEN_PER_USER", "MAX_PER_HOUR", "MAX_ATTEMPTS", "LINK_SECONDS")


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_that_would_stop_everything_is_named(key: str, value: int, settings: Settings) -> None:
    settings.EXPORTS = {key: value}
    (fault,) = check_settings()
    assert (fault.id, key in fault.msg) == ("exports.E002", True)


def test_a_relative_scratch_folder_is_named(settings: Settings) -> None:
    settings.EXPORTS = {"SCRATCH_DIR": "scratch"}
    (fault,) = check_settings()
    assert (fault.id, "scratch" in fault.msg) == ("exports.E008", True)


def test_the_usual_scratch_folder_does_not_depend_on_the_working_directory(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXPORTS = {}
    usual = export_settings().scratch_dir
    monkeypatch.chdir(tmp_path)
    assert (export_settings().scratch_dir, usual.is_absolute()) == (usual, True)
    assert check_settings() == []


def test_every_checked_number_exists() -> None:
    assert all(hasattr(ExportSettings, key.lower()) for key in NUMBERS)


@pytest.mark.parametrize("alias", ["default", "nowhere"])
def test_a_storage_that_is_no_store_is_named(alias: str, settings: Settings) -> None:
    settings.EXPORTS = {"STORAGE_ALIAS": alias}
    (fault,) = check_store()
    assert (fault.id, repr(alias) in fault.msg) == ("exports.E006", True)


@pytest.mark.parametrize(("visible", "well"), [(601, True), (600, False), (300, False)])
def test_the_visibility_timeout_is_longer_than_twice_the_hard_limit(
    monkeypatch: pytest.MonkeyPatch, visible: int, well: bool
) -> None:
    options = current_app.conf.broker_transport_options | {"visibility_timeout": visible}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    monkeypatch.setitem(current_app.conf, "task_time_limit", 300)
    faults = check_visibility_timeout()
    assert [fault.id for fault in faults] == ([] if well else ["exports.E003"])


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


@pytest.mark.parametrize(
    ("kind", "code"), [(NoColumns, "exports.E004"), (TwoOfOneName, "exports.E004"), (TwoInOne, "exports.E005")]
)
def test_an_unsound_dataset_is_named(kind: type[Errands], code: str) -> None:
    with registered(kind):
        (fault,) = check_datasets()
    assert (fault.id, kind.key in fault.msg) == (code, True)
