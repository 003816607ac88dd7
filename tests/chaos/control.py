"""Exports as plain Celery tasks, tuned as well as Celery's settings allow: the control that the site is compared with.

celery -A tests.chaos.control worker -Q bulk

One task splits an export into parts, a chord renders the parts and joins them into a file, and another task mails the
owner. The only state is the messages and results in Redis, and the file. Every task is retried with a backoff.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import smtplib
import sqlite3
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery, Task, chord

from tests.chaos.lines import append
from tests.chaos.people import home

MADE = "made.log"
HIGH, BULK = "high", "bulk"
VISIBILITY = 60
"""Seconds until an unacknowledged message is redelivered: six times the duration of the longest task."""
FIELDS = ("number", "placed_at", "buyer", "item", "quantity", "total", "status", "note")
SOCKET = {"socket_timeout": 5, "socket_connect_timeout": 2, "socket_keepalive": True}
RETRIED: dict[str, Any] = {
    "autoretry_for": (OSError, smtplib.SMTPException, psycopg.Error, sqlite3.Error),
    "max_retries": 8,
    "retry_backoff": 5,
    "retry_backoff_max": 60,
}

app = Celery("control")
app.conf.update(
    broker_url=os.environ.get("REDIS_URL", ""),
    result_backend=os.environ.get("REDIS_URL", ""),
    task_serializer="json",
    accept_content=["json"],
    task_default_queue=HIGH,
    task_routes={f"{__name__}.render": {"queue": BULK}, f"{__name__}.assemble": {"queue": BULK}},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure=True,
    task_acks_on_timeout=True,
    task_soft_time_limit=20,
    task_time_limit=25,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_soft_shutdown_timeout=8,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        **SOCKET,
        "visibility_timeout": VISIBILITY,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "health_check_interval": 25,
    },
    result_backend_transport_options=SOCKET,
    result_backend_always_retry=True,
    result_backend_max_retries=20,
    result_chord_join_timeout=10,
    result_expires=86_400,
    redis_retry_on_timeout=True,
    redis_socket_timeout=5,
    redis_socket_connect_timeout=2,
    redis_backend_health_check_interval=25,
)


@app.task(bind=True, **RETRIED)
def export(self: Task[Any, Any], number: int, owner: str) -> None:
    """Split an export into parts and start a chord that renders and joins them."""
    _toil()
    rows, size = _count(owner), int(os.environ["ROWS_PER_PART"])
    parts = [render.s(number, owner, first, size) for first in range(0, max(rows, 1), size)]
    chord(parts)(assemble.s(number, owner))


@app.task(bind=True, **RETRIED)
def render(self: Task[Any, Any], number: int, owner: str, first: int, size: int) -> str:
    """Write the rows of one part. Return the path of its file."""
    _toil()
    path = _folder() / f"{number}-{first}-{self.request.id}"
    path.write_bytes(text(rows_of(owner, first, size)))
    return str(path)


@app.task(bind=True, **RETRIED)
def assemble(self: Task[Any, Any], parts: list[str], number: int, owner: str) -> None:
    """Join the parts into the file, and enqueue the mail to the owner."""
    _toil()
    body = b"".join(Path(part).read_bytes() for part in parts)
    made, target = _folder() / f"{number}-{self.request.id}", _folder() / f"{number}.csv"
    made.write_bytes(body)
    made.replace(target)
    append(home() / MADE, {"request": number, "sha256": hashlib.sha256(body).hexdigest()})
    tell.delay(number, owner)


@app.task(bind=True, **RETRIED)
def tell(self: Task[Any, Any], number: int, owner: str) -> None:
    _toil()
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "site@example.com", owner, "Your export is ready"
    message["Message-ID"] = f"<{number}@example.com>"
    message.set_content("Download it.")
    with smtplib.SMTP("127.0.0.1", int(os.environ["MAIL_PORT"]), timeout=10) as server:
        server.send_message(message)


def _toil() -> None:
    """Use TOIL seconds of CPU, so that an export costs as much as one of the site and queues grow as long."""
    end = time.thread_time() + float(os.environ.get("TOIL", "0"))
    while time.thread_time() < end:
        hashlib.sha256(b"toil" * 10_000).digest()


def _folder() -> Path:
    folder = home() / "made"
    folder.mkdir(exist_ok=True)
    return folder


def _count(owner: str) -> int:
    (count,) = next(
        iter(
            _query(
                "SELECT count(*) FROM demo_order o JOIN auth_user u ON u.id = o.owner_id WHERE u.username = %s", owner
            )
        )
    )
    return int(count)


def rows_of(owner: str, first: int, size: int) -> Iterator[tuple[Any, ...]]:
    """Return up to `size` of an owner's orders, starting at offset `first`."""
    columns = ", ".join(f"o.{name}" for name in FIELDS)
    source = f"SELECT {columns} FROM demo_order o JOIN auth_user u ON u.id = o.owner_id WHERE u.username = %s"
    return _query(f"{source} ORDER BY o.id LIMIT {size} OFFSET {first}", owner)


def _query(sql: str, owner: str) -> Iterator[tuple[Any, ...]]:
    connection: Any
    if url := os.environ.get("DATABASE_URL"):
        connection = psycopg.connect(url, connect_timeout=5)
    else:
        connection, sql = (
            sqlite3.connect(Path(os.environ["VAR_DIR"]) / "db.sqlite3", timeout=20),
            sql.replace("%s", "?"),
        )
    try:
        yield from connection.execute(sql, [owner]).fetchall()
    finally:
        connection.close()


def text(rows: Iterator[tuple[Any, ...]]) -> bytes:
    """Return the rows as CSV."""
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()
