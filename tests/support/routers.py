"""The router of the site with two databases, as in docs/how-to/databases.md."""

from __future__ import annotations

from typing import Any

from django.db import models

OURS = {"durable", "exports", "notifications"}
"""App labels of the tables in the second database."""


class Split:
    """Knows our own tables alone, so that Django's defaults apply to all others."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        """Return a database that has no tables: our own rows must be read where they are written."""
        return "replica" if _is_ours(model._meta.app_label, model._meta.model_name) else None

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        return "carryall" if _is_ours(model._meta.app_label, model._meta.model_name) else None

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        return (db == "carryall") == _is_ours(app_label, model_name)


def _is_ours(app_label: str, model_name: str | None) -> bool:
    return app_label in OURS or model_name == "errand"  # leased work of the tests
