"""The probes of `manage.py doctor`: each checks one thing, and returns what is wrong and how to fix it, or ""."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http.request import validate_host
from django.utils import translation
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from durable.conf import SESSION_TIMEOUTS
from exports.datasets import datasets
from exports.storage import artifacts
from exports.upkeep import clocks, schedules
from notifications.api import channel_faults
from notifications.conf import notification_settings

WORKER_ANSWER = 2.0
"""Seconds that workers may take to answer."""
SKEW = 5.0
"""Seconds by which clocks may differ: links to files are signed for a minute, and logs are read side by side."""
BY_HAND = 'run it in the admin (Periodic tasks, "Run selected tasks")'
FREE_BYTES = 1 << 30
SQLITE_FULL = 2
"""What PRAGMA synchronous answers when each commit is synced to the disk (https://sqlite.org/pragma.html)."""
FORGETS = "a power cut can take back what the database has accepted"
PHRASE = "Export my data"
"""Words of these pages, by which a translation is recognised."""
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


def _settings() -> str:
    try:
        call_command("check", verbosity=0)
    except SystemCheckError as error:
        return str(error)
    return ""


def _language() -> str:
    """Whether the site's language is one that Django and these pages have words in."""
    code = settings.LANGUAGE_CODE
    try:
        language = translation.get_supported_language_variant(code)
    except LookupError:
        return f"LANGUAGE_CODE is {code!r}, which is not one of the site's LANGUAGES: set it to one, as 'en-gb'."
    with translation.override(language):
        translated = language.startswith("en") or translation.gettext(PHRASE) != PHRASE
    if not translated:
        return (
            f"LANGUAGE_CODE is {code!r}, and there is no translation of Carryall into it, so pages and mails mix it "
            "with English: set it to 'en' or 'en-gb', or add a translation to LOCALE_PATHS."
        )
    return ""


def _site_url() -> str:
    """Whether the links in mails and files lead to this site."""
    return next(_site_url_faults(notification_settings().site_url), "")


def _site_url_faults(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        yield f"is {url!r}, so links in mails lead nowhere: set it to the site's public address, as https://example.com."
    if settings.DEBUG:
        return
    if not validate_host(host, settings.ALLOWED_HOSTS):
        yield f"names {host}, which the site does not answer to: add it to ALLOWED_HOSTS, or correct SITE_URL."
    if _is_local(host) and not all(map(_is_local, settings.ALLOWED_HOSTS)):
        yield f"is {url}, which each reader's own machine answers to: set it to the site's public address."
    if parts.scheme == "http" and settings.SECURE_SSL_REDIRECT:
        yield f"is {url}, and the site redirects to https: let it begin with https://."


def _is_local(host: str) -> bool:
    """Whether a host name means the machine that it is used on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


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


def _pooler() -> str:
    """Whether a pooler before PostgreSQL, where there is one, may hand a transaction to any of its connections.

    A pooler tells its client a process of its own making, and not the server's.
    """
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), current_user")
        pid, role = cursor.fetchone()
        if pid == connection.connection.info.backend_pid:
            return ""
        cursor.execute(
            "SELECT name FROM pg_settings WHERE name = ANY(%s) AND reset_val = '0'", [list(SESSION_TIMEOUTS)]
        )
        unbounded = sorted(name for (name,) in cursor.fetchall())
    if unbounded:
        cure = " ".join(f"ALTER ROLE {role} SET {name} = '{SESSION_TIMEOUTS[name]}';" for name in unbounded)
        return f"its connections wait without end for locks, or hold them: run `{cure}` and reconnect the pooler."
    if not connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        return (
            "a cursor may be looked for on another connection: add ?disable_server_side_cursors=true to DATABASE_URL "
            "(DISABLE_SERVER_SIDE_CURSORS)."
        )
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
    """What makes this server drop messages, and how to fix it; empty where nothing does, or where it does not say.

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
    if late := schedules.missed_runs():
        runs = ", ".join(f"{name} ({moment:%Y-%m-%d %H:%M} UTC)" for name, moment in sorted(late.items()))
        return f"not begun: {runs}. Start Beat and a worker that serves high; or {BY_HAND}."
    if failed := schedules.failed_runs():
        said = "; ".join(f"{slot}: {slot.outcome.get('error', 'no reason is known')}" for slot in failed)
        return f"the last run failed: {said}. Correct the cause, then {BY_HAND}."
    return ""


def _beat() -> str:
    """Whether Beat sends its messages. Without it each worker's sweep begins the runs, later."""
    if (moment := schedules.missed_by_beat()) is None:
        return ""
    return (
        f"is not running: it should have sent a message at {moment:%Y-%m-%d %H:%M:%S} UTC and did not. "
        "Start `celery -A config.celery beat`; until then workers begin what is due, half a minute late."
    )


def _clocks() -> str:
    """Whether the machines agree on the time: this one with the database's, and the workers' with this one's."""
    ahead = clocks.database_ahead()
    if abs(ahead) > SKEW:
        return f"this machine is {_apart(-ahead)} the database's: let an NTP service set both."
    wrong = [f"{name} is {_apart(by)}" for name, by in clocks.workers_ahead(WORKER_ANSWER) if abs(by) > SKEW]
    return f"{', '.join(wrong)} this machine's: let an NTP service set both." if wrong else ""


def _apart(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def _mail() -> str:
    return " ".join(channel_faults())


def _storage() -> str:
    key = artifacts.storage().save("doctor/probe", ContentFile(b"probe"))
    try:
        with artifacts.open_artifact(key) as file:
            if file.read() != b"probe":
                return "gives back other bytes than it was given: do not use it."
        if artifacts.storage().is_public(key):
            return "gives files to anybody who knows their key: take the bucket's public policy away."
    finally:
        artifacts.delete([key])
    if artifacts.storage().exists(key):
        return "keeps what it was told to delete, so expired files stay: give the site the right to delete there."
    return ""


def _room() -> str:
    store = artifacts.storage()
    folders = [artifacts.scratch_dir(), *([Path(store.path("."))] if store.here else [])]
    for folder in folders:
        free = shutil.disk_usage(folder).free if folder.exists() else FREE_BYTES
        if free < FREE_BYTES:
            return f"only {free >> 20} MiB are free in {folder}: make room, or set VAR_DIR to another disk."
    return ""


def _pdf() -> str:
    from exports.formats.pdf.html import write_pdf  # WeasyPrint needs Pango; its absence is what this looks for

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
    "language": _language,
    "SITE_URL": _site_url,
    "database": _database,
    "pooler": _pooler,
    "durability": _durability,
    "redis": _redis,
    "workers": _workers,
    "schedules": _schedules,
    "Beat": _beat,
    "clocks": _clocks,
    "mail": _mail,
    "storage": _storage,
    "room on disk": _room,
    "PDF": _pdf,
    "fonts": _fonts,
    "datasets": _datasets,
}
