"""Environment of a test run, prepared before Django's settings read it: a temporary VAR_DIR and the chosen database."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.support.databases import postgresql
from tests.support.mariadb import mariadb
from tests.support.pgbouncer import pgbouncer

DATABASES = ("sqlite", "postgresql", "pgbouncer", "mariadb")
SITES = ("usual", "naive", "split")
UNSET = (
    "ENVIRONMENT", "DEBUG", "SECRET_KEY", "REDIS_URL", "BROKER_URL", "EMAIL_URL", "SITE_URL", "TIME_ZONE", "PORT",
    "STORAGE_URL",
)  # fmt: skip


def prepare(ended: ExitStack) -> None:
    """Set the environment of this test run.

    CARRYALL_TEST_DB chooses the database: sqlite (default), postgresql, pgbouncer, which is PostgreSQL behind
    PgBouncer in transaction mode, or mariadb.

    CARRYALL_TEST_SITE chooses the site: usual (default); naive, with USE_TZ=False in Berlin; or split, with our own
    tables in a second database. MariaDB needs a split site: the second database is SQLite then.

    Variables set by the caller are removed, so that no test touches the checkout's var/, a real database or Redis.
    """
    database = os.environ.get("CARRYALL_TEST_DB", "sqlite")
    if database not in DATABASES:
        raise SystemExit(f"CARRYALL_TEST_DB={database} is unknown: set it to {' or '.join(DATABASES)}.")
    site = os.environ.get("CARRYALL_TEST_SITE", "usual")
    if site not in SITES:
        raise SystemExit(f"CARRYALL_TEST_SITE={site} is unknown: set it to {' or '.join(SITES)}.")
    var_dir = Path(
        ended.enter_context(tempfile.TemporaryDirectory(prefix="carryall-test-", ignore_cleanup_errors=True))
    )
    for name in UNSET:
        os.environ.pop(name, None)
    (var_dir / "static").mkdir()  # WhiteNoise warns if it is missing
    os.environ["VAR_DIR"] = str(var_dir)
    os.environ["DATABASE_URL"] = _url(database, var_dir, ended)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def _url(database: str, var_dir: Path, ended: ExitStack) -> str:
    """Start the server of the database, if it has one. Return its URL."""
    match database:
        case "sqlite":
            return ""
        case "mariadb":
            return f"mysql://root@localhost/carryall?unix_socket={ended.enter_context(mariadb())}"
    url = ended.enter_context(postgresql(var_dir))
    return ended.enter_context(pgbouncer(url)) if database == "pgbouncer" else url
