"""A site's years of use, written with SQL: finished exports, their parts and downloads, and a backlog.

Each statement multiplies one row that the models created, so new fields and constraints need no change here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, models
from django.utils import timezone

from durable.clock import Now
from exports.models import Download, Export, Part
from exports.states import PartState, State

DAYS = 300
"""Age of the oldest export, in days. Less than history_days, or the purge would have exports to delete."""
READY_SHARE = 0.02
"""Approximate share of DAYS for which a file is kept."""
OWNERS = 1_000


def make_past(count: int, heavy: User | None = None) -> None:
    """Create `count` finished exports of OWNERS owners, oldest first.

    Each has one to three parts, and every other delivered one has a download. `heavy` owns every tenth export, like a
    client that exports on a schedule.
    """
    first = _owners(OWNERS)
    owner = f"{first} + n % {OWNERS}"
    if heavy is not None:
        owner = f"CASE WHEN n % 10 = 3 THEN {heavy.pk} ELSE {owner} END"
    ready = int(count * (1 - READY_SHARE))
    conditions = {
        State.READY: f"n > {ready}",
        State.FAILED: f"n <= {ready} AND n % 50 = 0",
        State.CANCELLED: f"n <= {ready} AND n % 50 = 1",
        State.EXPIRED: f"n <= {ready} AND n % 50 > 1",
    }
    age = f"({count} - n) * {DAYS * 86_400 / count}"
    for state, condition in conditions.items():
        _multiply(
            _finished(state, first),
            f"(SELECT n FROM {_numbers(count)} WHERE {condition}) AS numbers",
            uuid=_new_uuid(), owner_id=owner, fingerprint=_text("n"), requested_at=_ago(age), finished_at=_ago(age),
        )  # fmt: skip
    _make_parts()


def make_backlog(parts: int, owners: int) -> None:
    """Create `parts` waiting parts, split equally over `owners` exports of one owner each."""
    first = _owners(owners)
    export = Export.objects.create(
        owner_id=first, dataset="orders", format="csv", period_choice="all", state=State.RENDERING,
        next_attempt_at=None, rows=1_000_000, fingerprint="backlog",
    )  # fmt: skip
    _multiply(export, _numbers(owners), uuid=_new_uuid(), owner_id=f"{first} + n - 1", fingerprint=_text("n"))
    part = Part.objects.create(export=export, owner_id=first, index=0, rows=20_000, next_attempt_at=Now())
    start, each = export.pk, parts // owners
    mine = f"(SELECT id AS export_pk, owner_id AS mine FROM exports_export WHERE id > {start}) AS e"
    _multiply(part, f"{mine} CROSS JOIN {_numbers(each)}", export_id="export_pk", owner_id="mine", index="n - 1")
    export.delete()


def _owners(count: int) -> int:
    """Create `count` users with consecutive primary keys. Return the first key."""
    name = f"past-{User.objects.count()}"
    first = User.objects.create(username=name, email=f"{name}@example.com")
    if count > 1:
        _multiply(first, _numbers(count - 1), username=f"'{name}-' || n", id=f"{first.pk} + n")
        _advance_sequence(User)
    return first.pk


def _finished(state: State, owner: int) -> Export:
    """Create an export in the final state `state`, with the fields that the pipeline sets."""
    now = timezone.now()
    fields: dict[str, Any] = {"rows": 40_000, "started_at": now, "finished_at": now, "next_attempt_at": None}
    if state == State.READY:
        fields |= {"artifact": f"{owner}/export-1.csv", "size": 3, "sha256": "ab" * 32}
    if state in (State.READY, State.EXPIRED):
        fields |= {"expires_at": now + timedelta(days=7 if state == State.READY else -1), "filename": "orders.csv"}
    if state == State.FAILED:
        fields |= {"error_code": "dataset_failed", "error_message": "The data could not be read."}
    return Export.objects.create(
        owner_id=owner, dataset="orders", format="csv", period_choice="all", period_end=now, state=state, **fields
    )


def _make_parts() -> None:
    """Create one to three parts for each finished export, and a download for every other delivered one."""
    export = Export.objects.order_by("pk")[0]
    part = Part.objects.create(
        export=export, owner_id=export.owner_id, index=9, rows=20_000, rows_done=20_000, state=PartState.JOINED,
        next_attempt_at=None, published_at=Now(), claimed_at=Now(),
    )  # fmt: skip
    mine = "(SELECT id AS export_pk, owner_id AS mine, state AS became FROM exports_export) AS e"
    kept = f"{mine} JOIN {_numbers(3)} ON n <= 1 + export_pk % 3"
    _multiply(part, f"{kept} WHERE became IN ('ready', 'expired')", export_id="export_pk", owner_id="mine", index="n")
    part.state = PartState.CANCELLED
    part.save()
    _multiply(
        part, f"{kept} WHERE became IN ('failed', 'cancelled')", export_id="export_pk", owner_id="mine", index="n"
    )
    download = Download.objects.create(export=export, user_id=export.owner_id, finished_at=Now())
    whole = f"{mine} WHERE became IN ('ready', 'expired') AND export_pk % 2 = 0"
    _multiply(download, whole, export_id="export_pk", user_id="mine")


def _multiply(row: models.Model, source: str, **changed: str) -> None:
    """Insert a copy of `row` for each row of `source`. `changed` maps columns to SQL expressions."""
    meta, quote = row._meta, connection.ops.quote_name
    pk = "" if "id" in changed else "id"
    columns = [str(field.column) for field in meta.concrete_fields if field.column != pk]
    values = [changed.get(column) or f"original.{quote(column)}" for column in columns]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {meta.db_table} ({', '.join(map(quote, columns))}) SELECT {', '.join(values)} "
            f"FROM (SELECT * FROM {meta.db_table} WHERE id = {row.pk}) AS original CROSS JOIN {source}"
        )


def _numbers(count: int) -> str:
    """Return SQL for a row source with `n` from 1 to `count`."""
    if connection.vendor == "postgresql":
        return f"generate_series(1, {count}) AS numbers(n)"
    return f"(WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {count}) SELECT n FROM up)"


def _new_uuid() -> str:
    return "gen_random_uuid()" if connection.vendor == "postgresql" else "lower(hex(randomblob(16)))"


def _text(expression: str) -> str:
    return f"CAST({expression} AS varchar)"


def _ago(seconds: str) -> str:
    if connection.vendor == "postgresql":
        return f"now() - ({seconds}) * interval '1 second'"
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || ({seconds}) || ' seconds')"


def _advance_sequence(model: type[models.Model]) -> None:
    """Advance the sequence of primary keys past explicitly assigned keys."""
    if connection.vendor == "postgresql":
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


def vacuum() -> None:
    """Do what autovacuum does over time: update the statistics and the visibility map."""
    command = "ANALYZE" if connection.vendor == "sqlite" or connection.in_atomic_block else "VACUUM (ANALYZE)"
    with connection.cursor() as cursor:
        cursor.execute(command)
