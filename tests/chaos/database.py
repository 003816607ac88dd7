"""The run's own connection to the site's database, for plain SQL."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import psycopg

PATIENCE = 90.0
"""Seconds that the database may be unavailable before the run gives up."""


class Away(Exception):
    """Raised when the database is unavailable."""


class Database:
    """Connection for one thread. `url` is for PostgreSQL; if empty, `path` is the SQLite file."""

    def __init__(self, url: str, path: str = "") -> None:
        self._url, self._path = url, path
        self._connection: Any = None

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run the query once and return its rows. Raises Away."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            return list(self._connection.execute(sql).fetchall())
        except (psycopg.Error, sqlite3.Error) as error:
            self.close()
            raise Away(str(error)) from error

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of the query, retrying for up to PATIENCE seconds. Raises Away."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.ask(sql)
            except Away:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    @property
    def now(self) -> str:
        """SQL expression for the current time, comparable with a time that Django wrote."""
        return "now()" if self._url else "strftime('%Y-%m-%d %H:%M:%f', 'now')"

    def epoch(self, column: str) -> str:
        """Return an SQL expression for a time column as seconds since 1970."""
        return f"extract(epoch FROM {column})" if self._url else f"(julianday({column}) - 2440587.5) * 86400"

    def _connect(self) -> Any:
        if self._url:
            return psycopg.connect(self._url, autocommit=True, connect_timeout=5)
        return sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30, isolation_level=None)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except (psycopg.Error, sqlite3.Error):
                pass
