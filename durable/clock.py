"""The database's clock, for code outside of queries. The clocks of machines differ; this one is shared."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection

_QUERIES = {
    "postgresql": "SELECT clock_timestamp()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


def database_now() -> datetime:
    """Return the current time of the database's clock, as an aware datetime in UTC."""
    with connection.cursor() as cursor:
        cursor.execute(_QUERIES.get(connection.vendor, "SELECT CURRENT_TIMESTAMP"))
        (now,) = cursor.fetchone()
    moment = datetime.fromisoformat(now) if isinstance(now, str) else now
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
