"""Environment of a measurement: a folder, a PostgreSQL database with the ledger, and fresh processes."""

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
"""Timeout of a measured process, in seconds."""

Run = dict[str, Any]
"""Report of one process: rows, seconds, peak_mb, bytes, and further keys of its module."""


@dataclass
class Bench:
    """State that all measurements of one session share. `share` scales all row counts, for trial runs."""

    folder: Path
    cleanup: ExitStack
    share: float = 1.0
    _filled: int = field(default=0, init=False)

    def rows(self, full: int) -> int:
        return max(100, round(full * self.share))

    @cached_property
    def database_url(self) -> str:
        """URL of a private PostgreSQL with the site's tables and an empty ledger. It stops with the session."""
        with step("PostgreSQL"):
            url = self.cleanup.enter_context(postgresql(self.folder / "postgresql"))
            migrate = [sys.executable, "manage.py", "migrate", "--run-syncdb", "-v0"]
            subprocess.run(migrate, cwd=ROOT, env=self._environment(url), check=True)
        return url

    def ledger(self, rows: int) -> None:
        """Fill the ledger with at least `rows` rows, vacuumed and analyzed."""
        if rows <= self._filled:
            return
        url = self.database_url
        with step(f"{rows:,} rows"), psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {TABLE}")
            with connection.cursor().copy(f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                for row in bookings(rows):
                    copy.write_row(row)
            connection.execute(f"VACUUM (ANALYZE) {TABLE}")  # otherwise the first query pays for it
        self._filled = rows

    def fresh_database(self, name: str) -> str:
        """Copy the filled database for a separate site. Return the URL of the copy."""
        url = self.database_url
        with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{DATABASE}"')
        return f"{url.rpartition('/')[0]}/{name}"

    def run(self, module: str, *arguments: object, rows: int, **environment: str) -> Run:
        """Run `module` in a fresh process over the first `rows` rows. Return its last line of output, which is JSON.

        Raise SystemExit if the process fails or takes longer than RUN_SECONDS.
        """
        self.ledger(rows)
        command = [*TETHERED, sys.executable, "-m", module, *map(str, arguments)]
        variables = self._environment(self.database_url) | {"LEDGER_ROWS": str(rows)} | environment
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{module} took longer than {RUN_SECONDS} s for {rows:,} rows.") from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{module} failed with exit code {error.returncode} at {rows:,} rows.") from None
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))

    def _environment(self, url: str) -> dict[str, str]:
        own = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "DATABASE_URL": url,
            "VAR_DIR": str(self.folder / "var"),
        }
        return os.environ | own | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}
