"""Faults of Redis while exports run: each export completes, its owner is notified once, and no worker ends.

The tests share one site with many small parts, and with leases that outlast the tests, so that no work is repeated
because of an expired lease (docs/decisions/0012-redis-goes-away.md).
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from config.celery import app
from tests.acceptance.test_survival import assert_whole
from tests.support.sentinel import How, Trio, watched
from tests.support.sql import nobody_else_writes, select
from tests.support.stack import ENTERPRISE, SMALL, Person, Stack, running, wait_until

WORKERS = ("worker-high", "worker-bulk")
CLICK_SECONDS = 5
"""Timeout of a click. The benchmarks measure the actual time."""
SMALL_PARTS = {"ROWS_PER_PART": "1500", "LEASE_SECONDS": "300", "MAX_PER_HOUR": "1000", "MAX_OPEN_PER_USER": "50"}
FEW = 50
"""Number of rows of the small customer."""


@dataclass
class Site:
    """A stack under faults, two users, and the ids of all requested exports."""

    stack: Stack
    big: Person
    small: Person
    requested: list[str] = field(default_factory=list)

    def start_exports(self) -> dict[str, int]:
        """Request two exports of many parts, and wait until one has rendered some rows. Return id -> rows."""
        made = [self.big.export(format=kind, period="last-month") for kind in ("xlsx", "jsonl")]
        self.requested += made

        def started() -> dict[str, int] | None:
            seen = [self.big.look(export) for export in made]
            planned = all(one["rows_total"] for one in seen) and any(one["rows_done"] for one in seen)
            return {one["id"]: one["rows_total"] for one in seen} if planned else None

        return dict(wait_until(started, 60, 0.05, "the first part"))

    def click(self) -> dict[str, int]:
        """Request a small export while Redis has a fault. The answer must not wait for Redis. Return id -> rows."""
        start = time.monotonic()
        export = self.small.export(format="csv")
        assert time.monotonic() - start < CLICK_SECONDS, "the click hung"
        self.requested.append(export)
        return {export: FEW}

    def assert_whole(self, exports: dict[str, int]) -> None:
        for export, rows in exports.items():
            assert_whole(self.small if rows == FEW else self.big, export, rows)

    def assert_notified_once(self, exports: Sequence[str]) -> None:
        for export in exports:
            wait_until(partial(self._mails, export), 30, what=f"the mail of {export}")
            assert (self._mails(export), self._notices(export)) == (1, 1)

    def _mails(self, export: str) -> int:
        files = (self.stack.var_dir / "mail").glob("*.log")
        return sum(file.read_text(errors="replace").count(f"/exports/{export}/") > 0 for file in files)

    def _notices(self, export: str) -> int:
        query = "SELECT count(*) FROM notifications_notification WHERE kind = 'export_ready' AND link LIKE ?"
        return int(select(self.stack, query, f"%{export}%")[0][0])

    def attempts(self) -> set[int]:
        """Return the distinct attempt counts of all parts."""
        return {attempt for (attempt,) in select(self.stack, "SELECT DISTINCT attempt FROM exports_part")}

    @contextmanager
    def no_worker_ends(self) -> Iterator[None]:
        """Assert that the workers' main processes are the same before and after the block, and alive."""
        before = {name: self.stack.processes[name].pid for name in WORKERS}
        yield
        assert [self.stack.processes[name].poll() for name in WORKERS] == [None, None], self.stack.log[-5000:]
        assert {name: self.stack.processes[name].pid for name in WORKERS} == before

    def nap(self, seconds: float) -> None:
        """Keep one process of each worker busy for `seconds`."""
        with app.connection_for_write(self.stack.redis.url) as connection:
            for queue in ("high", "bulk"):
                app.send_task("tests.nap", args=[seconds], queue=queue, connection=connection)


@contextmanager
def site_under_faults(folder: Path, **environment: str) -> Iterator[Site]:
    """Run a site with web and both workers, which include the task of tests.support.naps."""
    settings: dict[str, Any] = SMALL_PARTS | environment
    with running(folder, "web", **settings) as stack:
        for name in WORKERS:
            program = stack.programs[name]
            stack.programs[name] = replace(program, command=[*program.command, "-I", "tests.support.naps"])
        stack.start(*WORKERS)
        stack.await_workers()
        site = Site(stack, stack.signed_in(ENTERPRISE), stack.signed_in(SMALL))
        yield site
        site.assert_notified_once(site.requested)  # again at the end: a second mail may arrive late


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_under_faults(tmp_path_factory.mktemp("redis-faults")) as made:
        yield made


# --- one Redis ------------------------------------------------------------------------------------------------------


def killed(site: Site) -> dict[str, int]:
    site.stack.kill("redis")
    clicked = site.click()
    site.stack.start("redis")
    return clicked


def emptied(site: Site) -> dict[str, int]:
    """Kill Redis and delete its data."""
    site.stack.kill("redis")
    for path in site.stack.redis.folder.glob("appendonly*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    clicked = site.click()
    site.stack.start("redis")
    return clicked


def flushed(site: Site) -> dict[str, int]:
    clicked = site.click()
    with site.stack.redis_client() as redis:
        redis.flushall()
    return clicked


def cut(site: Site) -> dict[str, int]:
    """Close every client connection while Redis keeps running."""
    with site.stack.redis_client() as redis:
        assert redis.client_kill_filter(_type="normal") + redis.client_kill_filter(_type="pubsub") > 4
    return site.click()


def demoted(site: Site) -> dict[str, int]:
    """Make Redis a replica for a while: blocked clients are disconnected and writes are refused."""
    with site.stack.redis_client() as redis:
        redis.replicaof("127.0.0.1", 1)
        clicked = site.click()
        redis.replicaof("NO", "ONE")
    return clicked


def frozen(site: Site) -> dict[str, int]:
    """Stop Redis for ten seconds: it accepts connections and does not answer."""
    redis = site.stack.processes["redis"]
    os.kill(redis.pid, signal.SIGSTOP)
    try:
        time.sleep(1)
        clicked = site.click()
        time.sleep(9)
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    return clicked


@pytest.mark.parametrize("fault", [killed, emptied, flushed, cut, demoted, frozen], ids=lambda fault: fault.__name__)
def test_exports_survive_faults_of_redis(site: Site, fault: Callable[[Site], dict[str, int]]) -> None:
    with site.no_worker_ends():
        exports = site.start_exports()
        exports |= fault(site)
        site.assert_whole(exports)
    site.assert_notified_once(list(exports))
    assert site.attempts() == {1}, "a part that ran during the fault was repeated"


def test_queued_exports_survive_a_flush(site: Site) -> None:
    """The messages of the parts are in the queue, and no worker has received one."""
    bulk = site.stack.processes["worker-bulk"].pid
    with site.no_worker_ends():
        with nobody_else_writes(site.stack):  # do not stop the worker inside a write, which would block all others
            os.kill(bulk, signal.SIGSTOP)
        try:
            waiting = site.big.export(format="csv", period="last-month")
            planned = wait_until(lambda: site.big.look(waiting)["rows_total"], what="its plan")
            with site.stack.redis_client() as redis:
                wait_until(lambda: redis.llen("carryall:bulk"), what="a message of its parts")
                redis.flushall()
        finally:
            os.kill(bulk, signal.SIGCONT)
        site.requested.append(waiting)
        site.assert_whole({waiting: planned})
    site.assert_notified_once([waiting])


def test_a_worker_survives_its_redis_and_finishes_its_tasks(site: Site) -> None:
    """Redis dies while one of the worker's two processes runs a task and the other waits for a message."""
    with site.no_worker_ends():
        site.nap(8)
        wait_until(lambda: site.stack.log.count("Nap of 8 s") == len(WORKERS), what="both naps")
        site.stack.kill("redis")
        time.sleep(1)
        site.stack.start("redis")
        site.assert_whole(site.click())
        wait_until(lambda: site.stack.log.count("Awake after 8 s") == len(WORKERS), what="the end of both naps")
        site.nap(0)
        wait_until(lambda: site.stack.log.count("Awake after 0 s") == len(WORKERS), what="a message to each")
        site.assert_whole(site.click())
    assert "DeprecationWarning" not in site.stack.log


# --- Sentinel -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    with watched(tmp_path_factory.mktemp("trio")) as made:
        yield made


@pytest.fixture(scope="module")
def watched_site(trio: Trio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_under_faults(tmp_path_factory.mktemp("sentinel"), **trio.environment) as made:
        yield made


@pytest.mark.parametrize("how", ["order", "freeze"])
def test_exports_survive_a_failover(watched_site: Site, trio: Trio, how: How) -> None:
    """A planned failover, which disconnects blocked clients, and one from a frozen master, as in a machine failure."""
    with watched_site.no_worker_ends():
        exports = watched_site.start_exports()
        trio.failover(how, meanwhile=lambda: exports.update(watched_site.click()))
        watched_site.assert_whole(exports)
        trio.revive()
    watched_site.assert_notified_once(list(exports))
