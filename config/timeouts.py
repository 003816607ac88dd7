"""PostgreSQL's own bounds on waiting: set by a statement on each new connection, because poolers refuse `options`.

What the role, the database or the `options` of DATABASE_URL set stands. Behind a pooler in transaction mode a
statement reaches one of its server connections only, so there the role must have them: docs/operations.md.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.signals import connection_created
from django.dispatch import receiver

from durable.conf import SESSION_TIMEOUTS

_SET = "SELECT " + ", ".join(
    f"CASE current_setting('{name}') WHEN '0' THEN set_config('{name}', '{value}', false) END"
    for name, value in SESSION_TIMEOUTS.items()
)


@receiver(connection_created)
def set_timeouts(connection: Any, **_: Any) -> None:
    """Set what nobody else has set, in one round trip."""
    if connection.vendor == "postgresql" and "options" not in connection.settings_dict["OPTIONS"]:
        with connection.cursor() as cursor:
            cursor.execute(_SET)
