"""The database's clock, for what cannot be said inside a query. Machines' own clocks differ; this one is shared."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection

_ASKED = {
    "postgresql": "SELECT clock_timestamp()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


def database_now() -> datetime:
    """The moment by the database's clock, aware, in UTC."""
    with connection.cursor() as cursor:
        cursor.execute(_ASKED.get(connection.vendor, "SELECT CURRENT_TIMESTAMP"))
        (now,) = cursor.fetchone()
    moment = datetime.fromisoformat(now) if isinstance(now, str) else now
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
