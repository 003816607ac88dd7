"""Faults of the database: restarts, no free connections, a frozen server and locks. Accepted exports still complete.

One site runs on a PostgreSQL server that the tests stop and restart, one on SQLite. The tests do not touch the site's
processes, except to restart ended ones as a process manager would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from deploy.http import Answer
from tests.support.clicks import (
    Clicker,
    Site,
    another_web,
    assert_refused,
    identity,
    take_all_places,
)
from tests.support.console import console
from tests.support.cut_commits import commit_cutter
from tests.support.databases import PostgresServer, postgres_server
from tests.support.sql import nobody_else_writes
from tests.support.stack import ENTERPRISE, SMALL, running, wait_until

PARTS: dict[str, Any] = {
    "ROWS_PER_PART": "10000",
    "REPUBLISH_AFTER": "2",
    "MAX_PER_HOUR": "1000",
    "MAX_OPEN_PER_USER": "100",
}
"""Settings for exports of many parts, so that faults strike between parts, and for high limits per user."""
PLACES = 40
"""PostgreSQL's max_connections."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    # Acknowledged commits must survive a kill, as with PostgreSQL's defaults.
    with postgres_server(
        tmp_path_factory.mktemp("pg"), synchronous_commit="on", max_connections=str(PLACES)
    ) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def site(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    programs = ("worker-high", "worker-bulk", "web", "beat")
    folder = tmp_path_factory.mktemp("site")
    with running(folder, *programs, database_url=server.url, **PARTS) as stack, console(stack) as shell:
        yield Site(stack, shell)


@pytest.fixture(autouse=True)
def _processes_survive(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert after each test that workers and web server have survived. Beat may end, and is restarted."""
    yield
    for name in ("site", "sqlite_site"):
        if name in request.fixturenames:
            assert request.getfixturevalue(name).manage_processes() in ([], ["beat"])


# --- restarts -------------------------------------------------------------------------------------------------------


def test_immediate_restarts_during_exports(site: Site, server: PostgresServer) -> None:
    exports = [site.rendering_export(), site.big.export(format="csv", period="all", fields="number")]
    server.restart_immediately()
    wait_until(lambda: site.big.person.browser.get("/readyz").status == 200, what="an answer of /readyz")
    server.restart_immediately(away=1)
    site.manage_processes()
    site.assert_whole(exports[0])
    assert site.big.person.await_end(exports[1])["state"] == "ready"
    assert site.notifications(exports[1]) == 1
    assert "waits for the database" in site.stack.log
    assert "raised unexpected" not in site.stack.log, "a message was consumed by an error"


def test_beat_continues_after_a_restart(site: Site, server: PostgresServer) -> None:
    site.shell.run("every = IntervalSchedule.objects.get(periodictask__name='Sweep'); every.every = 1; every.save()")
    count = "print(PeriodicTask.objects.get(name='Sweep').total_run_count)"
    wait_until(lambda: int(site.shell.run(count)), what="Beat's first tick")
    server.restart_immediately(away=1.5)
    before = int(site.shell.run(count))
    wait_until(
        lambda: site.manage_processes() or int(site.shell.run(count)) > before + 1, what="Beat's ticks", pause=0.5
    )
    wait_until(lambda: int(site.shell.run(count)) > before + 1, what="Beat's ticks after its restart")


def test_clicks_during_a_restart_are_kept_or_refused(site: Site, server: PostgresServer) -> None:
    clickers = [Clicker(site.stack, SMALL) for _ in range(3)]
    answers: list[Answer] = []
    done = threading.Event()

    def click(number: int, clicker: Clicker) -> None:
        days = iter(range(1, 29))
        while not done.is_set() and (day := next(days, 0)):
            last = f"2026-{number + 1:02}-{day:02}"
            answers.append(clicker.click(period="custom", date_from="2020-01-01", date_to=last))

    threads = [threading.Thread(target=click, args=pair) for pair in enumerate(clickers)]
    before = site.recorded()
    for thread in threads:
        thread.start()
    for away in (0.3, 0.0):
        time.sleep(0.3)
        server.restart_immediately(away)
    time.sleep(0.3)
    done.set()
    for thread in threads:
        thread.join()

    kept = {identity(answer) for answer in answers if answer.status == 202}
    refused = [answer for answer in answers if answer.status != 202]
    assert kept
    assert refused, "no click coincided with the restart"
    for answer in refused:
        assert_refused(answer)
    for export in kept:
        assert site.small.person.await_end(export)["state"] == "ready"
        assert site.notifications(export) == 1
    assert len(kept) <= site.recorded() - before <= len(answers)


def test_a_commit_with_a_lost_answer_does_not_cause_a_second_export(site: Site, server: PostgresServer) -> None:
    with commit_cutter(server.port) as cutter, another_web(site.stack, server, cutter.port) as url:
        person = Clicker(site.stack, ENTERPRISE, url)
        before = site.recorded()
        cutter.cut_after = b'INSERT INTO "exports_export"'
        assert_refused(person.click())
        assert (cutter.cut, site.recorded()) == (1, before + 1), "the commit succeeded although its answer was lost"
        again = person.click()
    assert (again.status, again.json()["existing"]) == (202, True)
    assert site.recorded() == before + 1
    site.assert_whole(identity(again))


# --- no free connections, frozen server, locks ------------------------------------------------------------------------


def test_no_free_connections(site: Site, server: PostgresServer) -> None:
    export = site.rendering_export()
    before = site.recorded()
    with ExitStack() as taken:
        take_all_places(server, PLACES, taken)
        began = time.monotonic()
        assert_refused(site.small.click())
        page = site.small.browser.get("/exports/")
        assert (page.status, "Our database is not responding" in page.text) == (503, True)
        assert time.monotonic() - began < 10
        time.sleep(2)  # workers and Beat are affected as well
    assert site.recorded() == before
    assert site.big.person.look(export)["state"] in ("rendering", "assembling", "ready")
    site.assert_whole(export)


def test_a_frozen_server(site: Site, server: PostgresServer) -> None:
    """The server is frozen for longer than a lease, so that all leases expire and cannot be renewed."""
    export, clicked = site.rendering_export(), []
    server.freeze()
    try:
        waiting = threading.Thread(target=lambda: clicked.append(site.small.click()))
        waiting.start()
        time.sleep(7)
    finally:
        server.thaw()
    waiting.join(20)
    assert clicked, "the click was never answered"
    if clicked[0].status == 202:
        assert site.small.person.await_end(identity(clicked[0]))["state"] == "ready"
    else:
        assert_refused(clicked[0])
    site.assert_whole(export)


def test_the_wait_for_a_locked_row_is_limited(site: Site, server: PostgresServer) -> None:
    """An idle transaction locks the row that a user's requests lock, and that of an export in progress."""
    owner = "SELECT id FROM auth_user WHERE username = %s"
    export = site.rendering_export()
    with server.connect() as connection, connection.transaction():
        connection.execute(f"{owner} FOR UPDATE", [SMALL])  # a row of the site's own, which no request waits for
        assert site.small.person.await_end(site.small.export())["state"] == "ready"
        connection.execute(f"SELECT 1 FROM exports_ownerlock WHERE owner_id = ({owner}) FOR UPDATE", [SMALL])
        connection.execute("SELECT 1 FROM exports_export WHERE uuid = %s FOR UPDATE", [export])
        began = time.monotonic()
        assert_refused(site.small.click())
        assert 4 < time.monotonic() - began < 10
        assert site.big.person.look(export)["state"] != "ready"
    site.assert_whole(export)
    assert site.small.person.await_end(site.small.export())["state"] == "ready"


# --- SQLite: one writer at a time ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sqlite_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("sqlite"), "worker-bulk", **PARTS) as stack:
        stack.extra["DATABASE_URL"] = f"sqlite:///{stack.var_dir / 'db.sqlite3'}?timeout=2"  # instead of 20
        stack.start("worker-high", "web")
        stack.await_workers()
        with console(stack) as shell:
            yield Site(stack, shell)


def test_the_wait_for_another_sqlite_writer_is_limited(sqlite_site: Site) -> None:
    export, before = sqlite_site.rendering_export(), sqlite_site.recorded()
    with nobody_else_writes(sqlite_site.stack):
        began = time.monotonic()
        assert_refused(sqlite_site.small.click())
        page = sqlite_site.small.click("/exports/")
        assert (page.status, "could not be recorded just now" in page.text) == (503, True)
        assert time.monotonic() - began < 10
        assert sqlite_site.recorded() == before
    assert sqlite_site.small.person.await_end(sqlite_site.small.export())["state"] == "ready"
    sqlite_site.assert_whole(export)
