"""Test of a site behind PgBouncer in transaction mode, where each transaction may use another server connection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import PostgresServer, postgres_server
from tests.support.pgbouncer import pgbouncer
from tests.support.stack import SMALL, Stack, running

FORMATS = ("csv", "xlsx", "pdf")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    with postgres_server(tmp_path / "pg") as made:
        yield made


def fault(stack: Stack) -> str:
    """Return the doctor's finding about the pooler, or ""."""
    return stack.shell("from exports.upkeep import probes; print(probes.PROBES['pooler']())")


def test_exports_complete_behind_a_pooler(server: PostgresServer, tmp_path: Path) -> None:
    """Three server connections serve about fifteen clients, so that clients rarely keep the same connection."""
    with server.connect() as direct, pgbouncer(server.url, pool=3) as url:
        with running(tmp_path, database_url=url, ROWS_PER_PART="20", SMALL_ROWS="10") as stack:
            assert "?disable_server_side_cursors=true" in fault(stack)

            person = stack.signed_in(SMALL)
            exports = {name: person.export(format=name) for name in FORMATS}
            for name, export in exports.items():
                ended = person.await_end(export)
                assert (ended["state"], ended["rows_done"]) == ("ready", 50), (name, ended)
                assert hashlib.sha256(person.download(export)).hexdigest() == ended["sha256"]
            stack.extra["DATABASE_URL"] = f"{url}?disable_server_side_cursors=true"
            assert fault(stack) == ""
        ((used,),) = direct.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
        assert used <= 3
