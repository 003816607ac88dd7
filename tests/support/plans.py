"""Query plans of the database, recorded when the statements run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction


@dataclass
class Plan:
    """The plan of one statement. `pages` is the number of pages read, cached or not; always 0 on SQLite."""

    sql: str
    indexes: set[str] = field(default_factory=set)
    scanned: set[str] = field(default_factory=set)
    """Tables that were read completely."""
    pages: int = 0


@contextmanager
def planned() -> Iterator[list[Plan]]:
    """Record the plans of the SELECT, INSERT, UPDATE and DELETE statements inside the block, which run as usual."""
    plans: list[Plan] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and not many:
            plans.append(_plan(execute, sql, params, many, context))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def _plan(execute: Callable[..., Any], sql: str, *rest: Any) -> Plan:
    cursor = rest[-1]["cursor"]
    if connection.vendor == "sqlite":
        execute(f"EXPLAIN QUERY PLAN {sql}", *rest)
        return _of_sqlite(sql, [row[3] for row in cursor.fetchall()])
    with transaction.atomic():  # ANALYZE executes the statement; undo it
        execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *rest)
        found = cursor.fetchone()[0]
        transaction.set_rollback(True)
    return _of_postgresql(sql, (json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


def _of_postgresql(sql: str, top: dict[str, Any]) -> Plan:
    nodes = list(_below(top))
    return Plan(
        sql,
        indexes={node["Index Name"] for node in nodes if "Index Name" in node},
        scanned={node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"},
        pages=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
    )


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _below(child)


def _of_sqlite(sql: str, steps: list[str]) -> Plan:
    """Parse steps such as "SEARCH exports_part USING INDEX part_open (export_id=?)", or "SCAN exports_part"."""
    plan = Plan(sql)
    for step in steps:
        words = step.split()
        if "INDEX" in words:
            plan.indexes.add(words[words.index("INDEX") + 1])
        elif words[0] == "SCAN" and words[1:2] != ["CONSTANT"]:
            plan.scanned.add(words[1])
    return plan
