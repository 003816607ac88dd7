"""The run's own eyes on the site's database: plain SQL on a connection that nobody else uses."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import psycopg

PATIENCE = 90.0
"""Seconds that the database may be away before the run gives up."""


class Away(Exception):
    """The database does not answer just now."""


class Database:
    """For one thread. `url` is PostgreSQL's; without one, `path` is SQLite's file."""

    def __init__(self, url: str, path: str = "") -> None:
        self._url, self._path = url, path
        self._connection: Any = None

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows now. Raises Away."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            return list(self._connection.execute(sql).fetchall())
        except (psycopg.Error, sqlite3.Error) as error:
            self.close()
            raise Away(str(error)) from error

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows, however long a restart takes within PATIENCE. Raises Away."""
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
        """SQL for this moment, to be compared with a moment that Django wrote."""
        return "now()" if self._url else "strftime('%Y-%m-%d %H:%M:%f', 'now')"

    def epoch(self, column: str) -> str:
        """SQL for a moment as seconds since 1970."""
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
