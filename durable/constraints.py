"""An operation for migrations: drop the constraints that earlier versions had on the site's user table."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def drop_user_constraints(app: str, *names: str) -> migrations.RunPython:
    """Return the operation for the UserForeignKeys with these names, as "export.owner", of one app.

    A constraint cannot refer to a table in another database. New installations never had any.
    """

    def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for name in names:
            model, _, field = name.partition(".")
            _drop(apps.get_model(app, model)._meta.get_field(field), schema_editor)

    return migrations.RunPython(drop, migrations.RunPython.noop, elidable=True)


def _drop(field: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, field.model._meta.db_table).values()
    if any(each["foreign_key"] and each["columns"] == [field.column] for each in found):
        constrained = copy(field)
        constrained.db_constraint = True
        schema_editor.alter_field(field.model, constrained, field)
