"""Effects of migrations on existing rows."""

from __future__ import annotations

from copy import copy
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from durable.fields import UserForeignKey
from durable.lease import LeaseLost
from exports.intake.requests import retry_export
from exports.models import Export, Part
from exports.states import PartState, State
from tests.support.exports import (
    Errands,
    ask,
    committed,
    content_of,
    errands,
    export_in,
    part_in,
    registered,
    step,
    sweep_now,
    work,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


NEWER = ("OwnerLock", "Webhook", "PushSubscription", "ChatAddress", "QuietHours")
"""Models with a user that never had the constraint."""


def plan_again() -> None:
    import_module("exports.migrations.0003_plan_again").plan_again(apps, None)


def test_unfinished_exports_start_again(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    errands(25)
    with registered(Errands):
        export = ask(ada)
        step("plan_export", export.pk)
        held = Part.objects.claim(export.parts.order_by("index")[0].pk)
        plan_again()
        assert held is not None
        with pytest.raises(LeaseLost):
            held.save(rows_done=10)
        sweep_now()
        work(export)
    assert (export.state, export.rows, export.failures) == (State.READY, 25, 1)
    assert content_of(export).count(b"Number") == 1


@pytest.mark.parametrize("state", [State.RENDERING, State.ASSEMBLING, State.QUEUED, State.FAILED, State.CANCELLED])
def test_old_parts_are_not_joined_with_new_ones(ada: User, state: State) -> None:
    export = export_in(state, ada, rows=1)
    part_in(PartState.DONE, export)
    plan_again()
    if state in (State.FAILED, State.CANCELLED):
        with committed():
            retry_export(export)
    export.refresh_from_db()
    assert (export.state, export.parts.count(), Export.objects.due().count()) == (State.QUEUED, 0, 1)


@pytest.mark.parametrize("state", [State.READY, State.EXPIRED])
def test_finished_exports_are_unchanged(ada: User, state: State) -> None:
    export = export_in(state, ada)
    part_in(PartState.JOINED, export)
    before = Export.objects.values().get()
    plan_again()
    assert (Export.objects.values().get(), Part.objects.count()) == (before, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("app", "name"), [("exports", "0012_any_site"), ("notifications", "0003_any_site")])
def test_constraints_on_the_user_table_are_dropped(ada: User, app: str, name: str) -> None:
    """An earlier version created them. They cannot refer to users in another database."""
    fields = [
        field
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.fields
        if isinstance(field, UserForeignKey) and model.__name__ not in NEWER
    ]
    export_in("queued", ada)
    with connection.schema_editor() as editor:
        for field in fields:
            constrained: Any = copy(field)
            constrained.db_constraint = True
            editor.alter_field(field.model, field, constrained)
    assert all(map(has_constraint, fields))
    dropping = import_module(f"{app}.migrations.{name}").Migration.operations[0]
    with connection.schema_editor() as editor:
        dropping.code(apps, editor)
    assert not any(map(has_constraint, fields))
    assert Export.objects.get().owner == ada


def has_constraint(field: UserForeignKey) -> bool:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, field.model._meta.db_table).values()
    return any(each["foreign_key"] and each["columns"] == [field.column] for each in found)
