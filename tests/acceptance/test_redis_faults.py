"""Redis fails in every way it can while exports run. Each comes out whole and is told once, and no worker ends.

One site serves all: many small parts, and leases that last longer than these tests wait, so that no work can come back
because its lease has run out (docs/decisions/0012-redis-goes-away.md).
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
"""A bound against hanging; what a click takes is measured by the benchmarks."""
SMALL_PARTS = {"ROWS_PER_PART": "1500", "LEASE_SECONDS": "300", "MAX_PER_HOUR": "1000", "MAX_OPEN_PER_USER": "50"}
FEW = 50
"""Rows of all that the one of the two people has."""


@dataclass
class Site:
    """A stack under faults, two people who use it, and all that was asked for."""

    stack: Stack
    big: Person
    small: Person
    asked: list[str] = field(default_factory=list)

    def start_exports(self) -> dict[str, int]:
        """Two exports of many parts, planned, and one of them begun; id -> rows."""
        made = [self.big.export(format=kind, period="last-month") for kind in ("xlsx", "jsonl")]
        self.asked += made

        def begun() -> dict[str, int] | None:
            seen = [self.big.look(export) for export in made]
            planned = all(one["rows_total"] for one in seen) and any(one["rows_done"] for one in seen)
            return {one["id"]: one["rows_total"] for one in seen} if planned else None

        return dict(wait_until(begun, 60, 0.05, "the first part"))

    def click(self) -> dict[str, int]:
        """A small export more, asked for while Redis is in trouble; the answer may not wait for it."""
        begun = time.monotonic()
        export = self.small.export(format="csv")
        assert time.monotonic() - begun < CLICK_SECONDS, "the click hung"
        self.asked.append(export)
        return {export: FEW}

    def assert_whole(self, exports: dict[str, int]) -> None:
        for export, rows in exports.items():
            assert_whole(self.small if rows == FEW else self.big, export, rows)

    def assert_told_once(self, exports: Sequence[str]) -> None:
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
        """How often parts were claimed until they were done."""
        return {attempt for (attempt,) in select(self.stack, "SELECT DISTINCT attempt FROM exports_part")}

    @contextmanager
    def nobody_ends(self) -> Iterator[None]:
        """The workers' main processes at the end of the block are those of its beginning, and alive."""
        before = {name: self.stack.processes[name].pid for name in WORKERS}
        yield
        assert [self.stack.processes[name].poll() for name in WORKERS] == [None, None], self.stack.log[-5000:]
        assert {name: self.stack.processes[name].pid for name in WORKERS} == before

    def nap(self, seconds: float) -> None:
        """Keep one process of each worker busy. (In good time: this process is not a site under faults.)"""
        with app.connection_for_write(self.stack.redis.url) as connection:
            for queue in ("high", "bulk"):
                app.send_task("tests.nap", args=[seconds], queue=queue, connection=connection)


@contextmanager
def site_under_faults(folder: Path, **environment: str) -> Iterator[Site]:
    """Web and both workers, which know a task that takes its time."""
    settings: dict[str, Any] = SMALL_PARTS | environment
    with running(folder, "web", **settings) as stack:
        for name in WORKERS:
            program = stack.programs[name]
            stack.programs[name] = replace(program, command=[*program.command, "-I", "tests.support.naps"])
        stack.start(*WORKERS)
        stack.await_workers()
        site = Site(stack, stack.signed_in(ENTERPRISE), stack.signed_in(SMALL))
        yield site
        site.assert_told_once(site.asked)  # once more at the end: a second mail may come late


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
    """Its disk is lost as well."""
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
    """Every connection, while Redis itself lives."""
    with site.stack.redis_client() as redis:
        assert redis.client_kill_filter(_type="normal") + redis.client_kill_filter(_type="pubsub") > 4
    return site.click()


def demoted(site: Site) -> dict[str, int]:
    """It is made the replica of nobody for a while: who waits is sent away, who writes is refused."""
    with site.stack.redis_client() as redis:
        redis.replicaof("127.0.0.1", 1)
        clicked = site.click()
        redis.replicaof("NO", "ONE")
    return clicked


def frozen(site: Site) -> dict[str, int]:
    """It takes connections and answers nobody, for ten seconds."""
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
def test_exports_outlive_what_happens_to_redis(site: Site, fault: Callable[[Site], dict[str, int]]) -> None:
    with site.nobody_ends():
        exports = site.start_exports()
        exports |= fault(site)
        site.assert_whole(exports)
    site.assert_told_once(list(exports))
    assert site.attempts() == {1}, "what ran when Redis was lost was not begun again"


def test_exports_that_wait_outlive_an_emptied_redis(site: Site) -> None:
    """Their messages have been sent, and nobody has taken one."""
    bulk = site.stack.processes["worker-bulk"].pid
    with site.nobody_ends():
        with nobody_else_writes(site.stack):  # or it would stand still inside of a write, and nobody else could
            os.kill(bulk, signal.SIGSTOP)
        try:
            waiting = site.big.export(format="csv", period="last-month")
            planned = wait_until(lambda: site.big.look(waiting)["rows_total"], what="its plan")
            with site.stack.redis_client() as redis:
                wait_until(lambda: redis.llen("carryall:bulk"), what="a message of its parts")
                redis.flushall()
        finally:
            os.kill(bulk, signal.SIGCONT)
        site.asked.append(waiting)
        site.assert_whole({waiting: planned})
    site.assert_told_once([waiting])


def test_a_worker_outlives_its_redis_and_goes_on_with_what_runs(site: Site) -> None:
    """A task runs in one of its two processes, and the other waits for a message, when Redis dies."""
    with site.nobody_ends():
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
def test_exports_outlive_a_failover(watched_site: Site, trio: Trio, how: How) -> None:
    """In good order, which sends away who waits; and of a master that says no more, as when its machine is gone."""
    with watched_site.nobody_ends():
        exports = watched_site.start_exports()
        trio.failover(how, meanwhile=lambda: exports.update(watched_site.click()))
        watched_site.assert_whole(exports)
        trio.revive()
    watched_site.assert_told_once(list(exports))
