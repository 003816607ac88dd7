"""The probes of `manage.py doctor`. Each checks one thing and returns what is wrong and how to fix it, or ""."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http.request import validate_host
from django.utils import translation
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from durable.celery import broker, site
from durable.celery.tasks import DurableTask
from durable.databases import connection_of, unfit
from exports.datasets import datasets
from exports.datasets.owners import nobody
from exports.formats import formats
from exports.models import Export
from exports.storage import artifacts
from exports.upkeep import clocks, schedules
from notifications.api import channel_faults
from notifications.conf import notification_settings

WORKER_ANSWER = 2.0
"""Seconds to wait for the replies of workers."""
SKEW = 5.0
"""Seconds by which clocks may differ: links to files are valid for a minute, and logs are compared."""
OUR_APPS = ("durable", "exports", "notifications")
BY_HAND = 'run it in the admin (Periodic tasks, "Run selected tasks")'
FREE_BYTES = 1 << 30
SQLITE_FULL = 2
"""Value of PRAGMA synchronous if each commit is synced to disk (https://sqlite.org/pragma.html)."""
LOSES_COMMITS = "committed data can be lost in a power failure"
PHRASE = "Export my data"
"""A text of the pages: if it is translated, there is a translation."""
SCRIPTS = {
    "Latin": "é", "Greek": "Ω", "Cyrillic": "Ж", "Arabic": "ع", "Hebrew": "ש",
    "Devanagari": "क", "Thai": "ก", "Chinese": "中", "Korean": "한",
}  # fmt: skip


def _settings() -> str:
    try:
        call_command("check", verbosity=0)
    except SystemCheckError as error:
        return str(error)
    return ""


def _language() -> str:
    """Check that Django and the pages have translations into the site's language."""
    code = settings.LANGUAGE_CODE
    try:
        language = translation.get_supported_language_variant(code)
    except LookupError:
        return f"LANGUAGE_CODE is {code!r}, which is not one of LANGUAGES: set it to one of them, such as 'en-gb'."
    with translation.override(language):
        translated = language.startswith("en") or translation.gettext(PHRASE) != PHRASE
    if not translated:
        return f"there is no translation of Carryall to LANGUAGE_CODE {code!r}: add one to LOCALE_PATHS, or set 'en'."
    return ""


def _site_url() -> str:
    """Check that the links in mails and files lead to this site."""
    return next(_site_url_faults(notification_settings().site_url), "")


def _site_url_faults(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        yield f"is {url!r}, so links in mails are broken: set it to the site's public URL, such as https://example.com."
    if settings.DEBUG:
        return
    if not validate_host(host, settings.ALLOWED_HOSTS):
        yield f"has the host {host}, which the site does not accept: add it to ALLOWED_HOSTS, or correct SITE_URL."
    if _is_local(host) and not all(map(_is_local, settings.ALLOWED_HOSTS)):
        yield f"is {url}, which is the reader's own machine: set it to the site's public URL."
    if parts.scheme == "http" and settings.SECURE_SSL_REDIRECT:
        yield f"is {url}, but the site redirects to https: start it with https://."


def _is_local(host: str) -> bool:
    """Return whether a host name is a loopback name or address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _aliases() -> list[str]:
    """Return the aliases of the databases of our own tables, of the users, and of the rows of datasets."""
    aliases = [connection_of(Export).alias, connection_of(get_user_model()).alias]
    for dataset in datasets:
        with suppress(Exception):  # it needs a real owner: each request checks it
            aliases.append(dataset.queryset(nobody(dataset.owner_model)).db)
    return list(dict.fromkeys(aliases))


def _database() -> str:
    """Check that each database answers, and that our own tables are up to date."""
    connection = connection_of(Export)
    if fault := unfit(connection):
        return fault
    for alias in _aliases():
        try:
            connections[alias].ensure_connection()
        except DatabaseError as error:
            return f"{alias!r} does not answer ({error}): check DATABASES, and that the server is running."
    executor = MigrationExecutor(connection)
    if waiting := executor.migration_plan(_targets(executor)):
        return f"{len(waiting)} migrations are not applied: run `{_migrate()}`."
    return _sqlite(connection) if connection.vendor == "sqlite" else ""


def _migrate() -> str:
    """Return the command that migrates the database of our own tables."""
    alias = connection_of(Export).alias
    return "manage.py migrate" if alias == DEFAULT_DB_ALIAS else f"manage.py migrate --database {alias}"


def _targets(executor: MigrationExecutor) -> list[tuple[str, str]]:
    """Return the newest migrations of the site, or of our own apps alone if they have their own database."""
    newest = executor.loader.graph.leaf_nodes()
    ours = executor.connection.alias != DEFAULT_DB_ALIAS
    return [node for node in newest if node[0] in OUR_APPS] if ours else newest


def _sqlite(connection: Any) -> str:
    """Check that SQLite's writers do not block readers, and wait for each other."""
    with connection.cursor() as cursor:
        mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        return (
            f"SQLite's journal mode is {mode}, so writers block readers: run PRAGMA journal_mode=WAL, on a local disk."
        )
    if connection.transaction_mode not in ("IMMEDIATE", "EXCLUSIVE"):
        return 'two writers at once fail: set "OPTIONS": {"transaction_mode": "IMMEDIATE"} in DATABASES.'
    return ""


def _pooler() -> str:
    """Check the set-up for a pooler in transaction mode. A pooler reports a process ID other than the server's."""
    connection = connection_of(Export)
    if connection.vendor != "postgresql" or connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    if pid == connection.connection.info.backend_pid:
        return ""
    return (
        "server-side cursors fail with a pooler: set DISABLE_SERVER_SIDE_CURSORS to True in DATABASES, "
        "or add ?disable_server_side_cursors=true to DATABASE_URL."
    )


def _durability() -> str:
    """Check that a commit is on disk when it returns."""
    connection = connection_of(Export)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            lax = cursor.execute("PRAGMA synchronous").fetchone()[0] < SQLITE_FULL
            return f"{LOSES_COMMITS}: set PRAGMA synchronous=FULL." if lax else ""
        cursor.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        lax = "off" in cursor.fetchone()
        return f"{LOSES_COMMITS}: set fsync and synchronous_commit to on." if lax else ""


def _celery() -> str:
    """Check that this process knows the Celery app of the site, as the web processes have to."""
    return " ".join(site.fault() or ())


def _broker() -> str:
    """Check the broker over the same connection as Celery, including Sentinel and TLS."""
    connection: Any = broker.connection(site.installed().app, broker.WORKER)
    try:
        with connection:
            channel = connection.default_channel
            return data_loss_risk(channel.client) if connection.transport.driver_type == "redis" else ""
    except (OperationalError, *connection.connection_errors) as error:
        reason = str(error).partition(" : ")[0]  # without a master, redis-py appends the details of each client
        return f"does not answer ({reason}): check your Celery setting broker_url, and that the broker is running."


def data_loss_risk(client: Any) -> str:
    """Return the setting that can make this server lose messages, with its fix, or "".

    It uses INFO, because managed servers often forbid CONFIG. If INFO is forbidden too, return "".
    """
    from redis import ResponseError  # here, because a site with another broker may not have the package

    try:
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
        saved = client.info("persistence").get("aof_enabled", 1)
    except ResponseError:
        return ""
    if policy != "noeviction":
        return f"maxmemory-policy is {policy}, so it may drop messages: set it to noeviction."
    return "" if saved else "appendonly is off, so a restart loses messages: set appendonly yes."


def _workers() -> str:
    """Check that workers serve each queue of our tasks."""
    app = site.installed().app
    with broker.connection(app, broker.WORKER) as connection:
        replies = app.control.inspect(timeout=WORKER_ANSWER, connection=connection).active_queues() or {}
    served = {queue["name"] for queues in replies.values() for queue in queues}
    missing = ",".join(sorted(_queues(app) - served))
    if missing:
        return f"no worker serves the queue {missing}: start `celery -A {site.installed().module} worker -Q {missing}`."
    return ""


def _queues(app: Celery) -> set[str]:
    """Return the queues of our tasks, by the app's task_routes."""
    ours = [name for name, task in app.tasks.items() if isinstance(task, DurableTask)]
    return set(map(site.queue_of, ours))


def _schedules() -> str:
    installed = set(PeriodicTask.objects.filter(enabled=True).values_list("task", flat=True))
    missing = [schedule.name for schedule in schedules.registered() if schedule.task not in installed]
    if missing:
        return f"{', '.join(missing)}: missing or disabled. Run `{_migrate()}`, or enable it in the admin."
    if late := schedules.missed_runs():
        runs = ", ".join(f"{name} ({moment:%Y-%m-%d %H:%M} UTC)" for name, moment in sorted(late.items()))
        return f"not started: {runs}. Start Beat and a worker, or {BY_HAND}."
    if failed := schedules.failed_runs():
        reasons = "; ".join(f"{slot}: {slot.outcome.get('error', 'unknown reason')}" for slot in failed)
        return f"the last run failed: {reasons}. Correct the cause, then {BY_HAND}."
    return ""


def _beat() -> str:
    """Check that Beat sends its messages. Without it, the workers' sweeps start the runs, half a minute late."""
    if (moment := schedules.missed_by_beat()) is None:
        return ""
    start = f"celery -A {site.installed().module} beat"
    return f"is not running: it sent no message at {moment:%Y-%m-%d %H:%M:%S} UTC. Start `{start}`."


def _clocks() -> str:
    """Compare the clock of this machine with the database's, and those of the workers with this one."""
    ahead = clocks.database_ahead()
    if abs(ahead) > SKEW:
        return f"this machine is {_difference(-ahead)} the database's: synchronise both with NTP."
    wrong = [f"{name} is {_difference(by)}" for name, by in clocks.workers_ahead(WORKER_ANSWER) if abs(by) > SKEW]
    return f"{', '.join(wrong)} this machine's: synchronise both with NTP." if wrong else ""


def _difference(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"


def _mail() -> str:
    return " ".join(channel_faults())


def _storage() -> str:
    key = artifacts.storage().save("doctor/probe", ContentFile(b"probe"))
    try:
        with artifacts.open_artifact(key) as file:
            if file.read() != b"probe":
                return "returns other bytes than were written: do not use it."
        if artifacts.storage().is_public(key):
            return "serves files to anyone with the key: remove the bucket's public policy."
    finally:
        artifacts.delete([key])
    if artifacts.storage().exists(key):
        return "does not delete files, so expired files stay: grant the site the permission to delete."
    return ""


def _room() -> str:
    store = artifacts.storage()
    folders = [artifacts.scratch_dir(), *([Path(store.path("."))] if store.here else [])]
    for folder in folders:
        free = shutil.disk_usage(folder).free if folder.exists() else FREE_BYTES
        if free < FREE_BYTES:
            return f"only {free >> 20} MiB are free in {folder}: free some space, or set VAR_DIR to another disk."
    return ""


def _pdf() -> str:
    if "pdf" not in formats:
        return ""
    from exports.formats.pdf.html import write_pdf  # here, because it fails without Pango

    write_pdf("<p>probe</p>", BytesIO())
    return ""


def _pdf_fact() -> str:
    return "ok" if "pdf" in formats else 'not installed; `pip install "carryall[pdf]"` adds the format'


def _fonts() -> str:
    if "pdf" not in formats:
        return ""
    listing = "fc-list"
    if shutil.which(listing) is None:
        return "fontconfig is missing: install the package fontconfig."
    lacking = [name for name, letter in SCRIPTS.items() if not _covered(listing, letter)]
    if lacking:
        return f"no font for these scripts: {', '.join(lacking)}. Install fonts-noto-core and fonts-noto-cjk."
    return ""


def _covered(listing: str, letter: str) -> bool:
    answer = subprocess.run(  # noqa: S603 - a fixed command with a letter from SCRIPTS
        [listing, f":charset={ord(letter):x}", "family"], capture_output=True, text=True, timeout=20, check=False
    )
    return bool(answer.stdout.strip())


def _datasets() -> str:
    return "" if list(datasets) else "no dataset is registered: write `<app>/datasets.py` (docs/extending.md)."


PROBES: dict[str, Callable[[], str]] = {
    "settings": _settings,
    "language": _language,
    "SITE_URL": _site_url,
    "database": _database,
    "pooler": _pooler,
    "durability": _durability,
    "Celery app": _celery,
    "broker": _broker,
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

FACTS: dict[str, Callable[[], str]] = {"storage": artifacts.whereabouts, "PDF": _pdf_fact}
"""What the doctor says instead of "ok" about a subject without a fault."""
