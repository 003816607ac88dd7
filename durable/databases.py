"""The database of our own tables. A site's router may put them into another database than its users and its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

M = TypeVar("M", bound=models.Model)

VENDORS = ("postgresql", "sqlite")
"""The databases that our own tables may be in."""

BOUNDS = {
    # Wait only briefly for a lock: a request is then answered with 503, and a worker's row is claimed again later.
    "lock_timeout": "5s",
    # A process that stalls inside a transaction loses it, and its locks, after the duration of a lease.
    "idle_in_transaction_session_timeout": "30s",
}
"""PostgreSQL timeouts of each transaction of ours."""


def set_bounds(*, local: bool) -> str:
    """Return SQL that sets the timeouts that are not set yet: for this transaction, or for the session."""
    return "SELECT " + ", ".join(
        f"CASE current_setting('{name}') WHEN '0' THEN set_config('{name}', '{value}', {local}) END"
        for name, value in BOUNDS.items()
    )


_SET_LOCAL = set_bounds(local=True)


class PrimaryQuerySet(models.QuerySet[M]):
    """Reads rows where they are written: a router may send other reads to a replica, which lags behind."""

    @property
    def db(self) -> str:
        return self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]


def connection_of(model: type[models.Model]) -> BaseDatabaseWrapper:
    """Return this thread's connection to the database that the rows of `model` are written to."""
    return connections[router.db_for_write(model)]


def unfit(connection: BaseDatabaseWrapper) -> str:
    """Return why our own tables cannot be in this database, with the fix, or "".

    Leased work needs the clock of the database in UTC, conditional unique constraints and locks that can be skipped.
    """
    if connection.vendor in VENDORS:
        return ""
    return (
        f"Carryall's own tables cannot be in {connection.display_name} (DATABASES[{connection.alias!r}]): put them "
        "into PostgreSQL or SQLite with a database router. Datasets may still read from it: docs/how-to/databases.md."
    )


def storable(text: str) -> str:
    """Return `text` without NUL characters and lone surrogates, which not every database can store."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def has_table(model: type[models.Model]) -> bool:
    """Return whether the table of `model` exists."""
    return model._meta.db_table in connection_of(model).introspection.table_names()


@contextmanager
def atomic(model: type[models.Model]) -> Iterator[None]:
    """Open a transaction, or a savepoint, in the database of `model`.

    In PostgreSQL, a transaction that it opens waits for locks and for this process within BOUNDS, whatever the site's
    own connections allow. A savepoint keeps the bounds of the transaction around it.
    """
    connection = connection_of(model)
    opens = not connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        if opens and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(_SET_LOCAL)
        yield


def on_commit(model: type[models.Model], call: Callable[[], Any]) -> None:
    """Run `call` after the transaction in the database of `model` commits. Its errors are logged, not raised."""
    transaction.on_commit(call, using=router.db_for_write(model), robust=True)


def close_broken() -> None:
    """Close this thread's connections on which an error occurred, outside of transactions. The next query reconnects.

    An error may be that of any database: of our own tables, of the users, or of a dataset.
    """
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred and not connection.in_atomic_block:
            connection.close()


def in_transaction() -> bool:
    """Return whether this thread is inside a transaction of any database."""
    return any(connection.in_atomic_block for connection in connections.all(initialized_only=True))
