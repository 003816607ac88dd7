"""Direct access to the SQLite database of a whole site, without starting Django."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.support.stack import Stack


def select(stack: Stack, sql: str, *values: Any) -> list[Any]:
    with closing(_connection(stack)) as database:
        return database.execute(sql, values).fetchall()


@contextmanager
def nobody_else_writes(stack: Stack) -> Iterator[None]:
    """Block all other writes to the database inside the block."""
    with closing(_connection(stack)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def _connection(stack: Stack) -> sqlite3.Connection:
    return sqlite3.connect(stack.var_dir / "db.sqlite3", timeout=20, isolation_level=None)
