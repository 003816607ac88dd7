"""Tests of the system checks of the exports app."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import ERROR, WARNING, run_checks
from django.core.exceptions import ObjectDoesNotExist
from django.core.files.base import ContentFile
from django.db import connections
from django.db.models import Avg, DecimalField, F, JSONField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Upper
from django.utils import timezone
from pytest_django import Settings

from deploy.steps import ROOT
from durable.checks import check_hints, check_keys
from durable.databases import unfit
from exports.checks import (
    check_databases,
    check_datasets,
    check_folders,
    check_installation,
    check_metrics,
    check_settings,
    check_store,
    check_time_zones,
    check_visibility_timeout,
)
from exports.conf import ExportSettings, export_settings
from exports.datasets import Column, ColumnType, Nested
from exports.demo.datasets import Orders
from exports.errors import UnfitDataset
from exports.storage import artifacts
from exports.upkeep import probes
from tests.support.baskets import Baskets
from tests.support.exports import Errands, registered
from tests.support.host_apps import installed
from tests.support.specimens import Specimens


def test_the_site_passes_all_checks() -> None:
    assert run_checks() == []


def test_an_unknown_key_is_reported(settings: Settings) -> None:
    settings.CARRYALL = {"WINDOWS": 3}
    (fault,) = check_keys()
    assert (fault.id, fault.hint) == ("durable.E001", "Did you mean 'WINDOW'?")
    assert "WINDOWS" in fault.msg


@pytest.mark.parametrize("path", [None, "", "durable.celery.no_such"])
def test_a_site_whose_workers_are_never_told_of_work_is_refused(path: str | None, settings: Settings) -> None:
    settings.CARRYALL = {"SEND_HINT": path}
    (fault,) = check_hints()
    assert (fault.id, "durable.celery.hints.send" in str(fault.hint)) == ("durable.E002", True)


def test_an_app_without_install_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CARRYALL = {}
    assert check_hints() == []
    monkeypatch.setattr("durable.celery.site._installed", [])
    (fault,) = check_hints()
    assert (fault.id, "'carryall'" in fault.msg) == ("durable.E003", True)
    assert "Call durable.celery.install(app) in the module of your Celery app" in str(fault.hint)
    assert check_visibility_timeout() == []


NO_APP = """
from django.conf import settings
import django
settings.configure(INSTALLED_APPS=["durable"])
settings.SETTINGS_MODULE = "shop.settings"
django.setup()
from django.core.management import call_command
call_command("check")
"""


def test_a_web_process_that_imports_no_app_is_refused() -> None:
    """Celery would send its messages to amqp://localhost, and no worker would get them."""
    done = subprocess.run([sys.executable, "-c", NO_APP], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "(durable.E003) This process has imported no Celery app" in done.stderr
    assert "Import your Celery app in shop/__init__.py: `from .celery import app as celery_app`." in done.stderr


def test_an_eager_app_is_warned_of(settings: Settings) -> None:
    settings.CARRYALL = {}
    with installed("redis://127.0.0.1:1/0", task_always_eager=True):
        assert [fault.id for fault in check_hints()] == ["durable.W001"]


NUMBERS = ("KEEP_DAYS", "PART_SECONDS", "WINDOW", "MAX_OPEN_PER_USER", "MAX_PER_HOUR", "MAX_ATTEMPTS", "LINK_SECONDS")


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_that_is_not_positive_is_reported(key: str, value: int, settings: Settings) -> None:
    settings.CARRYALL = {key: value}
    (fault,) = check_settings()
    assert (fault.id, key in fault.msg) == ("exports.E002", True)


@pytest.mark.parametrize("key", ["SCRATCH_DIR", "ARTIFACT_DIR"])
def test_a_relative_folder_is_reported(settings: Settings, key: str) -> None:
    settings.CARRYALL = {key: "scratch"}
    (fault,) = check_settings()
    assert (fault.id, key in fault.msg) == ("exports.E008", True)


def test_the_default_scratch_folder_does_not_depend_on_the_working_directory(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CARRYALL = {}
    default = export_settings().scratch_dir
    monkeypatch.chdir(tmp_path)
    assert (export_settings().scratch_dir, default.is_absolute()) == (default, True)
    assert check_settings() == []


@pytest.fixture
def without_entry(settings: Settings, tmp_path: Path) -> Settings:
    """Settings without an entry of STORAGES for files."""
    settings.STORAGES = {name: entry for name, entry in settings.STORAGES.items() if name != "exports"}
    settings.BASE_DIR = tmp_path
    settings.CARRYALL = {}
    return settings


def test_without_an_entry_of_storages_files_are_in_a_private_folder_of_the_project(
    without_entry: Settings, tmp_path: Path
) -> None:
    store = artifacts.storage()
    key = store.save("a/b.csv", ContentFile(b"x"))
    file = tmp_path / "var" / "carryall" / "artifacts" / key
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]
    assert artifacts.whereabouts().startswith(f"files are in the folder {tmp_path}/var/carryall/artifacts")
    assert [*check_store(), *check_folders()] == []


def test_keys_choose_other_folders_and_may_be_text(without_entry: Settings, tmp_path: Path) -> None:
    without_entry.CARRYALL = {"ARTIFACT_DIR": f"{tmp_path}/files", "SCRATCH_DIR": f"{tmp_path}/scratch"}
    with artifacts.scratch(".csv") as file:
        stored = artifacts.store(file, "a/b.csv")
    assert (tmp_path / "files" / stored.key).exists()
    assert artifacts.clear_scratch(timezone.now()) == 0


@pytest.mark.parametrize("root", ["MEDIA_ROOT", "STATIC_ROOT"])
def test_a_folder_that_the_web_server_serves_is_reported(without_entry: Settings, tmp_path: Path, root: str) -> None:
    setattr(without_entry, root, str(tmp_path / "public"))
    without_entry.CARRYALL = {"ARTIFACT_DIR": tmp_path / "public" / "files"}
    (fault,) = check_folders()
    assert (fault.id, root in fault.msg, "ARTIFACT_DIR" in fault.msg) == ("exports.W008", True, True)


def test_a_folder_of_an_entry_of_storages_is_checked_too(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = settings.STORAGES["exports"]["OPTIONS"]["location"]
    (fault,) = check_folders()
    assert (fault.id, "STORAGES['exports']" in fault.msg) == ("exports.W008", True)


def test_a_folder_that_cannot_be_written_is_reported(without_entry: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    without_entry.CARRYALL = {"SCRATCH_DIR": tmp_path / "file" / "scratch"}
    (fault,) = check_folders()
    assert (fault.id, "SCRATCH_DIR" in fault.msg) == ("exports.W009", True)


def test_files_in_the_folder_of_temporary_files_are_reported(without_entry: Settings) -> None:
    del without_entry.BASE_DIR
    (fault,) = check_folders()
    assert (fault.id, "ARTIFACT_DIR" in (fault.hint or "")) == ("exports.W010", True)


class OwnSessions(SessionMiddleware):
    """A site's subclass of Django's."""


def test_a_subclass_of_middleware_counts(settings: Settings) -> None:
    usual = "django.contrib.sessions.middleware.SessionMiddleware"
    own = f"{__name__}.OwnSessions"
    settings.MIDDLEWARE = [own if path == usual else path for path in settings.MIDDLEWARE]
    assert check_installation() == []


def test_every_checked_number_exists() -> None:
    assert all(hasattr(ExportSettings, key.lower()) for key in NUMBERS)


@pytest.mark.parametrize("alias", ["default", "nowhere"])
def test_a_storage_that_is_not_a_store_is_reported(alias: str, settings: Settings) -> None:
    settings.CARRYALL = {"STORAGE_ALIAS": alias}
    (fault,) = check_store()
    assert (fault.id, repr(alias) in fault.msg) == ("exports.E006", True)


@pytest.mark.parametrize(
    ("options", "named"), [({"buckt": "b"}, "'bucket'"), ({"bucket": "b", "adressing": "path"}, "'adressing'")]
)
def test_a_wrong_option_of_a_storage_is_reported(options: dict[str, str], named: str, settings: Settings) -> None:
    settings.STORAGES = settings.STORAGES | {
        "exports": {"BACKEND": "exports.storage.bucket.ArtifactBucket", "OPTIONS": options}
    }
    (fault,) = [*check_store(), *check_folders()]
    assert (fault.id, fault.hint) == ("exports.E006", "Correct the entry, and its OPTIONS.")
    assert named in fault.msg


def test_a_broker_without_a_visibility_timeout_is_not_checked() -> None:
    with installed("amqp://", broker_transport_options={"visibility_timeout": 1}):
        assert check_visibility_timeout() == []


@pytest.mark.parametrize(("visible", "ok"), [(601, True), (600, False), (300, False)])
def test_the_visibility_timeout_must_exceed_twice_the_hard_limit(
    monkeypatch: pytest.MonkeyPatch, visible: int, ok: bool
) -> None:
    options = current_app.conf.broker_transport_options | {"visibility_timeout": visible}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    faults = check_visibility_timeout()
    assert [fault.id for fault in faults] == ([] if ok else ["exports.E003"])


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


def test_beat_must_not_write_aware_times_into_a_site_without_them(settings: Settings) -> None:
    assert check_time_zones() == []
    settings.USE_TZ = False
    assert [fault.id for fault in check_time_zones()] == ["exports.E019"]
    settings.DJANGO_CELERY_BEAT_TZ_AWARE = False
    assert check_time_zones() == []


class Scattered:
    """A router that puts the notifications into another database than the exports."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default" if model._meta.app_label == "exports" else "elsewhere"


def test_our_own_tables_must_be_in_one_database(settings: Settings) -> None:
    assert check_databases() == []
    settings.DATABASE_ROUTERS = [Scattered()]
    (fault,) = check_databases()
    assert (fault.id, "default, elsewhere" in fault.msg) == ("exports.E023", True)


def test_a_database_that_does_not_suit_our_own_tables_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connections["default"]
    monkeypatch.setattr(connection, "vendor", "oracle")
    monkeypatch.setattr(connection, "display_name", "Oracle")
    (fault,) = check_databases()
    assert (fault.id, fault.msg) == ("exports.E024", unfit(connection))
    assert "cannot be in Oracle (DATABASES['default']): put them into PostgreSQL or SQLite" in fault.msg
    assert probes.PROBES["database"]() == fault.msg


def test_a_time_zone_of_the_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connections["default"]
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", "Europe/Berlin")
    found = [fault.id for fault in check_databases()]
    assert found == ([] if connection.vendor == "postgresql" else ["exports.E025"])


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


# --- nested columns -------------------------------------------------------------------------------------------------

NUMBER = Column("number", "Number")
NESTED: dict[str, tuple[Sequence[Column], str]] = {
    "no such relation": ([Nested("lins", ["title"])], "no to-many relation 'lins'. Nested() takes one of: lines, "),
    "a relation to one": ([Nested("owner", ["username"])], "use a column with source='owner__...'"),
    "no such field": ([Nested("lines", ["tilte"])], "Line has no field 'tilte'. Did you mean 'title'?"),
    "no such path": ([Nested("lines", ["title__x"])], "The type of the column 'title__x' cannot be inferred"),
    "no columns": ([Nested("lines", [])], "needs columns"),
    "nested twice": ([Nested("tags", [Nested("baskets", ["number"])])], "none of which is nested itself"),
    "two columns of one name": ([Nested("lines", ["title", Column("Title", "T", source="id")])], "rename one"),
    "the name of the key inside": ([Nested("lines", [Column("basket_id", "B", source="title")])], "rename one"),
    "the name of the key": ([Column("basket_id", "B", source="number"), Nested("lines", ["title"])], "rename it"),
    "a wrong type": (
        [Nested("lines", [Column("title", "T", ColumnType.INTEGER)])],
        "In the nested column 'lines': The column 'title' is INTEGER, but its values come from a CharField",
    ),
    "many inside": ([Nested("lines", [Column("x", "X", source="basket__tags__name")])], "of which a row may have many"),
    "an expression of many-to-many": (
        [Nested("tags", [Column("x", "X", source=Upper("name"))])], "nest the relation to its `through` model",
    ),
    "a column of many": ([Column("x", "X", source="lines__title")], "use Nested('lines', ['title'])"),
    "an expression of many": ([Column("x", "X", source=F("lines__price"))], "use Nested('lines', ['price'])"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "fix"), NESTED.values(), ids=NESTED)
def test_a_nested_column_that_cannot_be_read_is_reported(columns: Sequence[Column], fix: str) -> None:
    with registered(type("Wrong", (Baskets,), {"columns": (NUMBER, *columns)})):
        (fault,) = check_datasets()
    assert (fault.id, fault.level) == ("exports.E007", ERROR)
    assert fix in fault.msg


def test_a_nested_column_with_the_name_of_another_is_reported() -> None:
    two = (NUMBER, Column("lines", "Lines", source="number"), Nested("lines", ["title"]))
    with registered(type("Two", (Baskets,), {"columns": two})):
        (fault,) = check_datasets()
    assert fault.id == "exports.E004"


def test_a_doubtful_type_inside_a_nested_column_gives_a_warning() -> None:
    nested = Nested("lines", [Column("bought_at", "Bought")])
    with registered(type("Doubtful", (Baskets,), {"columns": (NUMBER, nested)})):
        (fault,) = check_datasets()
    assert fault.id == "exports.W007"
    assert "In the nested column 'lines': The column 'bought_at'" in fault.msg


def test_a_dataset_with_the_key_of_a_nested_table_is_reported() -> None:
    other = type("Other", (Errands,), {"key": "baskets.lines"})
    with registered(Baskets), registered(other):
        (fault,) = check_datasets()
    assert (fault.id, fault.hint) == ("exports.E004", "Give the dataset 'baskets.lines' another key.")


def test_a_queryset_that_needs_a_real_user_is_reported_if_columns_are_nested() -> None:
    class Personal(Baskets):
        def queryset(self, user: Any) -> Any:
            raise ObjectDoesNotExist("no profile")

    with registered(Personal):
        (fault,) = check_datasets()
        assert "set model = <the model class>" in fault.msg
        with pytest.raises(UnfitDataset):
            Personal().choose([])


def test_nested_columns_of_every_relation_pass_the_checks() -> None:
    with registered(Baskets):
        assert check_datasets() == []


def test_a_nested_type_without_columns_is_refused() -> None:
    with pytest.raises(TypeError, match=r"use Nested\('lines', \[...\]\)"):
        Column("lines", "Lines", ColumnType.NESTED)


# --- metrics --------------------------------------------------------------------------------------------------------


def test_a_site_without_metrics_has_no_faults() -> None:
    assert check_metrics() == []


@pytest.mark.parametrize(("token", "ids"), [("a-long-token-of-ours", []), ("short", ["exports.W012"])])
def test_a_short_token_is_reported(settings: Settings, token: str, ids: list[str]) -> None:
    settings.CARRYALL = settings.CARRYALL | {"METRICS_TOKEN": token}
    assert [fault.id for fault in check_metrics()] == ids


def test_a_token_without_the_library_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CARRYALL = settings.CARRYALL | {"METRICS_TOKEN": "a-long-token-of-ours"}
    monkeypatch.setattr("exports.checks.find_spec", lambda name: None)
    [fault] = check_metrics()
    assert (fault.id, "carryall[metrics]" in (fault.hint or "")) == ("exports.W011", True)
