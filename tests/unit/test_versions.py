"""Tests that the code of one release can run with the database schema and the rows of the next release."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, models
from django.db.migrations import operations as does
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field

from durable.rates import Permit
from exports.models import Download, Slot, UsageReport
from exports.states import PartState, State
from notifications.models import Preference
from tests.support.exports import export_in, part_in
from tests.support.notices import tell

OURS = ("durable", "exports", "notifications")
FIRST = "0001_initial"
BEFORE_THE_RULE = ("0001", "0002", "0003")
REASONS: dict[tuple[str, str, str], str] = {
    ("exports", "0006_slot_by_hand", "AddConstraint"): "always met by old code, which writes an empty by_hand",
    ("notifications", "0004_webhooks", "AddConstraint"): "met by old code, whose deliveries have an empty target",
    ("exports", "0008_plan_again", "RunPython"): "the part files of workbooks, Parquet and PDF have a new format",
    ("exports", "0012_any_site", "RunPython"): "it only drops constraints",
}
"""(app, migration, operation) -> why it may break the rule, such as "no code has used it since release 3"."""
HARMLESS = (
    does.CreateModel,
    does.AddIndex,
    does.RemoveIndex,
    does.RenameIndex,
    does.RemoveConstraint,
    does.AlterModelOptions,
    does.AlterModelManagers,
)
"""Operations that do not affect old code. It might violate a new constraint, or query a removed column."""


def fault(operation: Operation, before: ProjectState, app: str) -> str:
    """Return why old code cannot run after this operation, or ""."""
    match operation:
        case does.AddField(field=new):
            return "" if _optional(new) else f"old code inserts without the column {operation.name}"
        case does.AlterField(field=new):
            return _narrows(_field(before.models[app, operation.model_name_lower], operation.name), new)
        case does.SeparateDatabaseAndState(database_operations=inner):
            return next(filter(None, (fault(each, before, app) for each in inner)), "")
        case _ if isinstance(operation, HARMLESS):
            return ""
    return f"old code does not expect {type(operation).__name__}"


def _field(model: ModelState, name: str) -> Field[Any, Any]:
    return model.fields[name]


def _optional(field: Field[Any, Any]) -> bool:
    return field.null or field.has_db_default() or field.many_to_many is True


def _narrows(old: Field[Any, Any], new: Field[Any, Any]) -> str:
    """Return why the column accepts fewer values than before, or ""."""
    wider = isinstance(new, models.TextField) or (new.max_length or 0) > (old.max_length or 0)
    if old.db_type(connection) != new.db_type(connection) and not (isinstance(old, models.CharField) and wider):
        return f"{new.name} gets another type, or a shorter length"
    if (old.null or old.has_db_default()) and not _optional(new):
        return f"{new.name} becomes required"
    return f"{new.name} becomes unique" if new.unique and not old.unique else ""


def checked_migrations() -> Iterator[tuple[str, str]]:
    """Yield the migrations that must keep the rule."""
    for app, name in MigrationLoader(None).disk_migrations:
        if app in OURS and not name.startswith(BEFORE_THE_RULE):
            yield app, name


@pytest.mark.parametrize(("app", "name"), sorted(checked_migrations()))
def test_old_code_can_run_beside_a_migration(app: str, name: str) -> None:
    loader = MigrationLoader(None)
    migration = loader.disk_migrations[app, name]
    state = loader.project_state([(parent[0], parent[1]) for parent in migration.dependencies if parent[0] in OURS])
    faults = []
    for operation in migration.operations:
        if (app, name, type(operation).__name__) not in REASONS and (why := fault(operation, state, app)):
            faults.append(why)
        operation.state_forwards(app, state)
    assert not faults, f"{app}.{name}: {'; '.join(faults)}. See docs/decisions/0014-two-versions.md."


def _before(**fields: Field[Any, Any]) -> ProjectState:
    state = ProjectState()
    state.add_model(ModelState("exports", "Thing", [("id", models.BigAutoField(primary_key=True)), *fields.items()]))
    return state


@pytest.mark.parametrize(
    "operation",
    [
        does.AddField("thing", "added", models.IntegerField(default=1)),
        does.AddField("thing", "added", models.TextField(default="")),
        does.AlterField("thing", "text", models.CharField(max_length=10)),
        does.AlterField("thing", "text", models.CharField(max_length=20, unique=True)),
        does.AlterField("thing", "text", models.IntegerField()),
        does.AlterField("thing", "maybe", models.IntegerField()),
        does.RemoveField("thing", "text"),
        does.RenameField("thing", "text", "words"),
        does.RenameModel("Thing", "Matter"),
        does.DeleteModel("Thing"),
        does.AddConstraint("thing", models.CheckConstraint(condition=models.Q(text="a"), name="only_a")),
        does.RunPython(does.RunPython.noop),
        does.RunSQL("SELECT 1"),
        does.SeparateDatabaseAndState([does.RemoveField("thing", "text")]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_operations_that_break_old_code_are_refused(operation: Operation) -> None:
    before = _before(text=models.CharField(max_length=20), maybe=models.IntegerField(null=True))
    assert fault(operation, before, "exports")


@pytest.mark.parametrize(
    "operation",
    [
        does.AddField("thing", "added", models.IntegerField(null=True)),
        does.AddField("thing", "added", models.IntegerField(default=1, db_default=1)),
        does.AlterField("thing", "text", models.CharField(max_length=30)),
        does.AlterField("thing", "text", models.CharField(max_length=20, db_default="", help_text="Words.")),
        does.AddIndex("thing", models.Index(fields=["text"], name="thing_text")),
        does.RemoveConstraint("thing", "only_a"),
    ],
    ids=lambda operation: operation.describe(),
)
def test_operations_that_do_not_affect_old_code_are_allowed(operation: Operation) -> None:
    before = _before(text=models.CharField(max_length=20), maybe=models.IntegerField(null=True))
    assert fault(operation, before, "exports") == ""


NOW = datetime(2026, 7, 1, tzinfo=UTC)


def _one_of_each(ada: User) -> list[models.Model]:
    """Return a row of each model of the first release, with referenced rows last."""
    export, notification = export_in(State.READY, ada), tell(ada)
    return [
        part_in(PartState.WAITING, export_in(State.RENDERING, ada)),
        Download.objects.create(export=export, user=ada),
        export,
        notification.deliveries.all()[0],
        notification,
        Preference.objects.create(user=ada, kind="export_ready", channel="email", enabled=False),
        Slot.objects.create(schedule="exports.tasks.purge_expired_exports", slot=NOW),
        UsageReport.objects.create(week="2026-W27", start=NOW, end=NOW),
        Permit.objects.create(limit="shop.charge", index=0),
    ]


def _first_columns() -> dict[tuple[str, str], list[str]]:
    """Return (app, model) -> its columns in the first release."""
    state = MigrationLoader(None).project_state([(app, FIRST) for app in OURS])
    return {
        (app, name): [field.column for field in state.apps.get_model(app, name)._meta.local_concrete_fields]
        for app, name in state.models
        if app in OURS
    }


@pytest.mark.django_db
def test_the_first_release_can_still_insert_rows(ada: User) -> None:
    first = _first_columns()
    rows = _one_of_each(ada)
    assert {(row._meta.app_label, row._meta.model_name) for row in rows} == set(first)
    for row in rows:
        columns = first[row._meta.app_label, row._meta.model_name or ""]
        _insert_again(row, ", ".join(f'"{column}"' for column in columns))
        assert type(row)._default_manager.exists()


def _insert_again(row: models.Model, columns: str) -> None:
    table = row._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT {columns} FROM "{table}" WHERE id = %s', [row.pk])
        values = cursor.fetchone()
        row.delete()
        cursor.execute(f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join(["%s"] * len(values))})', values)


def test_every_later_column_is_optional() -> None:
    """Then the code of the first release can still insert rows."""
    for app in OURS:
        for model in apps.get_app_config(app).get_models():
            known = _first_columns().get((app, model._meta.model_name or ""), [])
            unknown = [field for field in model._meta.local_concrete_fields if field.column not in known]
            assert not known or [field.name for field in unknown if not _optional(field)] == []
