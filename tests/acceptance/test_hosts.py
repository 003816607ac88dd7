"""A site on four hosts: one with PostgreSQL, Redis and the bucket, two with workers, one with the web server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.processes import Program, worker
from deploy.redis_server import RedisServer, free_port
from tests.support import network, s3
from tests.support.databases import PostgresServer
from tests.support.stack import Stack, wait_until

STORE, ONE, TWO, WEB = "store", "one", "two", "web"
ROWS = 160_000


class Spread(Stack):
    """A site whose programs run on several hosts. The test itself is on the host of the web server."""

    def __init__(self, folder: Path, hosts: dict[str, network.Host], **environment: str) -> None:
        super().__init__(folder, **environment)
        self.hosts = hosts
        self.places = {"web": WEB, "worker-high": ONE, "bulk-one": ONE, "bulk-two": TWO}
        for name in ("bulk-one", "bulk-two"):
            bulk = worker("bulk", self.var_dir / name, self.port)
            self.programs[name] = Program(name, bulk.command)

    def environment(self, program: Program | None = None) -> dict[str, str]:
        """Each host has a disk of its own, and does not see the processes of the others."""
        place = self.places.get(program.name, WEB) if program else WEB
        own = {"VAR_DIR": str(self.folder / place), "MACHINE": place}
        return super().environment(program) | own

    def start(self, *names: str) -> None:
        for name in names:
            with self.hosts[self.places[name]].entered():
                super().start(name)

    def ask(self, sql: str, *values: Any) -> list[Any]:
        with self.postgres.connect() as connection:
            return connection.execute(sql, values).fetchall()

    postgres: PostgresServer


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Spread]:
    if reason := network.possible():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with ExitStack() as ended:
        hosts = ended.enter_context(network.network(STORE, ONE, TWO, WEB))
        address = hosts[STORE].address
        with hosts[STORE].entered():
            postgres = PostgresServer(tmp_path / "postgresql", address)
            ended.callback(postgres.close)
            redis = RedisServer(tmp_path / "redis", port=free_port(), address=address)
            child = redis.start()
            ended.callback(child.wait)
            ended.callback(child.kill)
            files = ended.enter_context(s3.serving(tmp_path, address))
        ended.enter_context(hosts[WEB].entered())
        stack = Spread(
            tmp_path, hosts, DATABASE_URL=postgres.url, REDIS_URL=redis.url, SECRET_KEY="shared by all hosts" * 3,
            ROWS_PER_PART="4000", **s3.Bucket(files, "hosts").environment,
        )  # fmt: skip
        stack.postgres = postgres
        ended.callback(stack.end)
        stack.manage("migrate", "--run-syncdb", "-v0")
        stack.manage("collectstatic", "-v0", "--noinput")
        stack.manage("seed_demo", "-v0")
        stack.start("worker-high", "bulk-one", "bulk-two", "web")
        yield stack


def parts_by_process(site: Spread, export: str) -> dict[str, int]:
    """Return how many parts of the export each process holds at present."""
    sql = (
        "SELECT part.leased_by, count(*) FROM exports_part part JOIN exports_export export ON export.id = export_id "
        "WHERE export.uuid = %s AND part.leased_by <> '' GROUP BY 1"
    )
    return dict(site.ask(sql, export))


def workers_alive(site: Spread) -> int:
    sql = "SELECT count(*) FROM durable_worker WHERE seen_at > (now() AT TIME ZONE 'UTC') - interval '3 seconds'"
    return int(site.ask(sql)[0][0])


def test_an_export_outlives_a_host_that_is_cut_off(site: Spread) -> None:
    wait_until(lambda: workers_alive(site) == 3, 60, what="the three workers")
    person = site.signed_in()
    export = person.export(format="xlsx")
    wait_until(lambda: len(parts_by_process(site, export)) > 2, 60, 0.05, "both hosts at work")
    site.hosts[TWO].cut()
    assert person.look(export)["state"] == "rendering"
    seen = person.await_end(export, 120)
    assert (seen["state"], seen["rows_total"]) == ("ready", ROWS), seen
    assert workers_alive(site) == 2
    body = person.download(export)
    assert hashlib.sha256(body).hexdigest() == seen["sha256"]

    site.hosts[TWO].join()
    wait_until(lambda: workers_alive(site) == 3, 60, what="the host's return")
    again = person.export(format="csv")
    assert person.await_end(again, 120)["state"] == "ready"
    assert person.download(export) == body
