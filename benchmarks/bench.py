"""What a measurement stands on: a folder, a PostgreSQL with the ledger in it, and fresh processes that use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.ledger.rows import COLUMNS, bookings
from deploy.steps import ROOT, TETHERED, step
from tests.support.databases import DATABASE, postgresql

TABLE = "ledger_booking"
RUN_SECONDS = 240
"""No process that is measured may take longer."""

Run = dict[str, Any]
"""What one process says of itself: rows, seconds, peak_mb, bytes, and whatever else it knows."""


@dataclass
class Bench:
    """Everything that one session of measurements shares. `share` of all numbers of rows, to try the bench itself."""

    folder: Path
    ended: ExitStack
    share: float = 1.0
    _filled: int = field(default=0, init=False)

    def rows(self, whole: int) -> int:
        return max(100, round(whole * self.share))

    @cached_property
    def database_url(self) -> str:
        """A PostgreSQL of our own, with the site's tables and an empty ledger; it ends with the session."""
        with step("PostgreSQL"):
            url = self.ended.enter_context(postgresql(self.folder / "postgresql"))
            migrate = [sys.executable, "manage.py", "migrate", "--run-syncdb", "-v0"]
            subprocess.run(migrate, cwd=ROOT, env=self._environment(url), check=True)
        return url

    def ledger(self, rows: int) -> None:
        """See to it that the ledger has at least so many rows, and that PostgreSQL knows them."""
        if rows <= self._filled:
            return
        url = self.database_url
        with step(f"{rows:,} rows"), psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {TABLE}")
            with connection.cursor().copy(f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                for row in bookings(rows):
                    copy.write_row(row)
            connection.execute(f"VACUUM (ANALYZE) {TABLE}")  # else the first reader would pay for it
        self._filled = rows

    def fresh_database(self, name: str) -> str:
        """The URL of a copy of the database as it was filled, for a site of its own."""
        url = self.database_url
        with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{DATABASE}"')
        return f"{url.rpartition('/')[0]}/{name}"

    def run(self, module: str, *arguments: object, rows: int, **environment: str) -> Run:
        """One fresh process of `module` over the ledger's first `rows`; the last line that it prints is JSON."""
        self.ledger(rows)
        command = [*TETHERED, sys.executable, "-m", module, *map(str, arguments)]
        known = self._environment(self.database_url) | {"LEDGER_ROWS": str(rows)} | environment
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=known, stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{module} took longer than {RUN_SECONDS} s for {rows:,} rows.") from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{module} failed with {error.returncode} at {rows:,} rows.") from None
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))

    def _environment(self, url: str) -> dict[str, str]:
        own = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "DATABASE_URL": url,
            "VAR_DIR": str(self.folder / "var"),
        }
        return os.environ | own | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}
