"""Bring the database, the static files and the demo up to date, in one process because Django starts slowly.

    python -m deploy.prepare

It runs at every start. Each step is idempotent.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from deploy.steps import Fault, first_line, say, step


def migrate() -> None:
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    with step("Migrating the database"):
        call_command("migrate", interactive=False, verbosity=0)


def static_stamp() -> str:
    """Return a hash of the path, size and modification time of each static file, and of the storage settings."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            state = Path(storage.path(name)).stat()
            digest.update(f"{storage.path(name)}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static() -> None:
    stamp, path = static_stamp(), Path(settings.VAR_DIR) / "run" / "static.stamp"
    if path.is_file() and path.read_text() == stamp and Path(settings.STATIC_ROOT).is_dir():
        return
    path.unlink(missing_ok=True)
    with step("Collecting static files"):
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    path.write_text(stamp)


def prepare() -> None:
    """Run all steps. Raise Fault."""
    try:
        connection.ensure_connection()
    except (DatabaseError, ImproperlyConfigured) as error:
        raise Fault(f"Cannot connect to the database ({first_line(error)}): check DATABASE_URL.") from error
    try:
        migrate()
        collect_static()
        if settings.DEMO:
            with step("Seeding the demo shop"):
                call_command("seed_demo", verbosity=0)
    except (CommandError, DatabaseError, OSError) as error:
        raise Fault(f"Preparing the site failed: {type(error).__name__}: {first_line(error)}.") from error


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        django.setup()
        prepare()
    except (Fault, ImproperlyConfigured) as fault:
        say(str(fault))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
