"""Set PostgreSQL's timeouts with a statement on each new connection, because poolers reject `options`.

Values of the role, the database or the `options` of DATABASE_URL take precedence. Behind a pooler in transaction mode a
statement reaches only one server connection, so the role must have the timeouts there: docs/operations.md.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.signals import connection_created
from django.dispatch import receiver

from durable.databases import set_bounds

_SET = set_bounds(local=False)


@receiver(connection_created)
def set_timeouts(connection: Any, **_: Any) -> None:
    """Set the timeouts that are not set yet, in one round trip."""
    if connection.vendor == "postgresql" and "options" not in connection.settings_dict["OPTIONS"]:
        with connection.cursor() as cursor:
            cursor.execute(_SET)
