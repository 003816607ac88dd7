"""What is wrong with an installation, and the mend: each probe looks at one thing as it is now."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import redis
from celery import current_app
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from exports import schedules, storage
from exports.datasets import datasets

WORKER_ANSWER = 2.0
"""Seconds that workers may take to answer."""
FREE_BYTES = 1 << 30
SQLITE_FULL = 2
"""What PRAGMA synchronous answers when each commit is synced to the disk (https://sqlite.org/pragma.html)."""
FORGETS = "a power cut can take back what the database has accepted"
SCRIPTS = {
    "Latin": "é",
    "Greek": "Ω",
    "Cyrillic": "Ж",
    "Arabic": "ع",
    "Hebrew": "ש",
    "Devanagari": "क",
    "Thai": "ก",
    "Chinese": "中",
    "Korean": "한",
}


@dataclass(frozen=True)
class Finding:
    """One probe's answer: what was looked at, whether it is well, and else what is wrong with the mend."""

    subject: str
    well: bool
    words: str


def examine() -> Iterator[Finding]:
    """Run every probe; one that raises is itself a finding."""
    for subject, probe in PROBES.items():
        try:
            fault = probe()
        except Exception as error:  # noqa: BLE001 - a doctor does not die of the patient
            fault = f"could not be looked at: {error!r}"
        yield Finding(subject, not fault, fault or "well")


def _settings() -> str:
    try:
        call_command("check", verbosity=0)
    except SystemCheckError as error:
        return str(error)
    return ""


def _database() -> str:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return f"does not answer ({error}): check DATABASE_URL and that the server runs."
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        return f"{len(waiting)} migrations are not applied: run `manage.py migrate`."
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            return f"SQLite's journal mode is {mode}, so writers block readers: use a local disk that supports WAL."
    return ""


def _durability() -> str:
    """Whether a commit is on the disk when it returns; else a power cut takes back what was accepted."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            lax = cursor.execute("PRAGMA synchronous").fetchone()[0] < SQLITE_FULL
            return f"{FORGETS}: set PRAGMA synchronous=FULL." if lax else ""
        cursor.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        lax = "off" in cursor.fetchone()
        return f"{FORGETS}: set fsync and synchronous_commit to on." if lax else ""


def _redis() -> str:
    """As Celery itself reaches it, with Sentinel, TLS and all."""
    broker: Any = current_app.connection_for_write()
    try:
        with broker:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            return forgetfulness(broker.default_channel.client)
    except (OperationalError, *broker.connection_errors) as error:
        reason = str(error).partition(" : ")[0]  # redis-py adds all of each client where no sentinel knows a master
        return f"does not answer ({reason}): check REDIS_URL, or start everything with `make run`."


def forgetfulness(client: redis.Redis) -> str:
    """What makes this server drop messages, with the mend; empty where there is nothing, or where it does not say.

    It is asked with INFO: CONFIG is often forbidden where somebody else runs the server.
    """
    try:
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
        saved = client.info("persistence").get("aof_enabled", 1)
    except redis.ResponseError:
        return ""
    if policy != "noeviction":
        return f"maxmemory-policy is {policy}, so it may drop messages: set it to noeviction."
    return "" if saved else "appendonly is off, so a restart forgets messages: set appendonly yes."


def _workers() -> str:
    replies = current_app.control.inspect(timeout=WORKER_ANSWER).active_queues() or {}
    served = {queue["name"] for queues in replies.values() for queue in queues}
    missing = sorted({"high", "bulk"} - served)
    if missing:
        return f"no worker serves {' and '.join(missing)}: start `celery -A config worker -Q {','.join(missing)}`."
    return ""


def _schedules() -> str:
    installed = set(PeriodicTask.objects.filter(enabled=True).values_list("task", flat=True))
    missing = [schedule.name for schedule in schedules.registered() if schedule.task not in installed]
    if missing:
        return f"{', '.join(missing)}: missing or switched off. Run `manage.py migrate`, or enable it in the admin."
    return ""


def _storage() -> str:
    key = storage.storage().save("doctor/probe", ContentFile(b"probe"))
    try:
        with storage.open_artifact(key) as file:
            if file.read() != b"probe":
                return "gives back other bytes than it was given: do not use it."
        if storage.storage().is_public(key):
            return "gives files to anybody who knows their key: take the bucket's public policy away."
        return ""
    finally:
        storage.delete([key])


def _room() -> str:
    store = storage.storage()
    folders = [storage.scratch_dir(), *([Path(store.path("."))] if store.here else [])]
    for folder in folders:
        free = shutil.disk_usage(folder).free if folder.exists() else FREE_BYTES
        if free < FREE_BYTES:
            return f"only {free >> 20} MiB are free in {folder}: make room, or set VAR_DIR to another disk."
    return ""


def _pdf() -> str:
    from exports.pdf.document import write_pdf  # WeasyPrint needs Pango; its absence is what this looks for

    write_pdf("<p>probe</p>", BytesIO())
    return ""


def _fonts() -> str:
    listing = "fc-list"
    if shutil.which(listing) is None:
        return "fontconfig is missing: install the package fontconfig."
    lacking = [name for name, letter in SCRIPTS.items() if not _covered(listing, letter)]
    if lacking:
        return f"no font has letters of: {', '.join(lacking)}. Install fonts-noto-core and fonts-noto-cjk."
    return ""


def _covered(listing: str, letter: str) -> bool:
    answer = subprocess.run(  # noqa: S603 - a fixed command with one letter of ours
        [listing, f":charset={ord(letter):x}", "family"], capture_output=True, text=True, timeout=20, check=False
    )
    return bool(answer.stdout.strip())


def _datasets() -> str:
    return "" if list(datasets) else "none is registered: write `<app>/datasets.py` (docs/extending.md)."


PROBES: dict[str, Callable[[], str]] = {
    "settings": _settings,
    "database": _database,
    "durability": _durability,
    "redis": _redis,
    "workers": _workers,
    "schedules": _schedules,
    "storage": _storage,
    "room on disk": _room,
    "PDF": _pdf,
    "fonts": _fonts,
    "datasets": _datasets,
}
