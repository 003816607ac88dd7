"""A worker of somebody else's site, with tasks of theirs and of ours: both keep their promises.

The site (tests/hosts/own_tasks) has no Celery setting but the address of a real Redis, and one queue.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.redis_server import RedisServer, free_port, running
from deploy.steps import ROOT, TETHERED
from durable.celery.shutdown import GRACE
from tests.support.groups import members
from tests.support.stack import wait_until

SOON = 6.0
"""Tolerance in seconds for starts, forks and process ends on a busy machine."""
CHARGE = GRACE + 12
"""Seconds of the site's slow task: longer than the grace period of ours."""


class Row(NamedTuple):
    """Columns of an errand."""

    attempt: int
    attempt_limit: int
    leased_by: str
    done_by: str


class Host:
    """The site: its folder, Redis, and workers."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder, self.server = folder, server
        self.workers: list[subprocess.Popen[bytes]] = []
        self.run("from django.core.management import call_command as call; call('migrate', '-v0', run_syncdb=True)")

    @property
    def environment(self) -> dict[str, str]:
        settings = {"DJANGO_SETTINGS_MODULE": "tests.hosts.own_tasks.settings", "HOST_DIR": str(self.folder)}
        return {**os.environ, **settings, "REDIS_URL": self.server.url}

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    @property
    def ledger(self) -> list[str]:
        path = self.folder / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, code: str) -> str:
        """Run `code` in a process of the site, as a web process would, and return its output."""
        setup = "import django; django.setup(); from tests.hosts.own_tasks.tasks import *\n"
        done = subprocess.run(
            [sys.executable, "-c", setup + code], cwd=ROOT, env=self.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker with these options, and wait until it is ready."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tests.hosts.own_tasks",
            "worker",
            "-l",
            "info",
            "-n",
            log.stem,
            *options,
        ]
        with log.open("ab") as output:
            worker = subprocess.Popen(
                [*TETHERED, *command], cwd=ROOT, env=self.environment, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self.workers.append(worker)
        wait_until(lambda: " ready." in log.read_text() or worker.poll() is not None, what="a worker")
        assert worker.poll() is None, log.read_text()[-3000:]
        return worker

    def errand(self) -> int:
        """Create a row, and send its hint after the commit."""
        code = "from durable.hints import publish_on_commit; row = Errand.objects.create(); publish_on_commit([row])"
        return int(self.run(f"{code}; print(row.pk)"))

    def row(self, pk: int) -> Row:
        with closing(sqlite3.connect(self.folder / "db.sqlite3")) as database:
            fields = ", ".join(Row._fields)
            return Row(*database.execute(f"SELECT {fields} FROM work_errand WHERE id = ?", [pk]).fetchone())

    def charge(self, card: str, seconds: float) -> None:
        self.run(f"charge.delay({card!r}, {seconds})")

    def wait_for(self, words: str, seconds: float = 30) -> None:
        wait_until(lambda: any(line.startswith(words) for line in self.ledger), seconds, what=words)

    def end(self) -> None:
        for worker in self.workers:
            if members(worker.pid):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with running(tmp_path / "redis", port=free_port()) as server:
        made = Host(tmp_path, server)
        try:
            yield made
        finally:
            made.end()


def test_the_sites_task_ends_undisturbed_and_our_row_is_given_back(host: Host) -> None:
    worker = host.start("-c", "2")
    host.charge("a card", CHARGE)
    pk = host.errand()
    host.wait_for("charging a card")
    host.wait_for(f"began {pk}")

    began = time.monotonic()
    worker.terminate()
    wait_until(lambda: not host.row(pk).leased_by, GRACE + SOON, what="the row given back")
    assert time.monotonic() - began > GRACE - 1
    assert (host.ledger[-1][:5], worker.poll()) == ("began", None), "the worker did not wait for the site's task"
    host.charge("another card", 0)
    assert worker.wait(CHARGE + SOON) == 0
    assert host.ledger[-1] == "charged a card"

    row = host.row(pk)
    assert row.attempt_limit - row.attempt == 5, "the attempt was counted"
    (host.folder / "open").touch()
    host.start()
    host.wait_for(f"finished {pk}")
    host.wait_for("charged another card")
    assert [line for line in host.ledger if "charg" in line] == [
        "charging a card", "charged a card", "charging another card", "charged another card",
    ]  # fmt: skip
    assert "Traceback" not in host.log


def test_waiting_messages_of_the_site_are_returned_to_the_queue(host: Host) -> None:
    """The worker has prefetched them. If it did not return them, they would wait for an hour (visibility timeout)."""
    worker = host.start("-c", "1")
    pk = host.errand()
    host.wait_for(f"began {pk}")
    for card in ("a", "b"):
        host.charge(card, 0)
    host.run("charge.apply_async(('c', 0), countdown=3)")
    wait_until(lambda: host.log.count("tests.hosts.own_tasks.tasks.charge") >= 3, what="the messages")
    worker.terminate()
    assert worker.wait(GRACE + SOON) == 0
    assert not [line for line in host.ledger if "charg" in line]

    (host.folder / "open").touch()
    host.start()
    for card in ("a", "b", "c"):
        host.wait_for(f"charged {card}", 10)


def test_a_cold_shutdown_gives_our_rows_back_and_ends_every_task(host: Host) -> None:
    worker = host.start("-c", "2")
    host.charge("a card", 60)
    pk = host.errand()
    host.wait_for("charging a card")
    host.wait_for(f"began {pk}")
    worker.send_signal(signal.SIGQUIT)
    assert worker.wait(SOON) == 0
    row = host.row(pk)
    assert (row.leased_by, row.attempt_limit - row.attempt) == ("", 5)
    wait_until(lambda: not members(worker.pid), 5, what="the end of the children")


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_sweep_and_give_rows_back(host: Host, pool: str) -> None:
    """They have no process to kill: the task ends when it finds that its row was given back."""
    worker = host.start("-P", pool, "-c", "2")
    host.charge("a card", 0)
    host.wait_for("charged a card")
    lost = int(host.run("print(Errand.objects.create().pk)"))  # no hint: the sweep sends it
    host.wait_for(f"began {lost}")
    worker.terminate()
    assert worker.wait(GRACE + SOON + 15) == 0
    row = host.row(lost)
    assert (row.leased_by, row.attempt_limit - row.attempt) == ("", 5)
    assert re.search(rf"lost {lost}", "\n".join(host.ledger))
    assert "Traceback" not in host.log


def test_a_host_that_froze_its_redis_loses_nothing(host: Host) -> None:
    """The worker has no timeouts of its own, and gets ours."""
    host.start()
    (host.folder / "open").touch()
    pid = int(host.run(f"import redis; print(redis.Redis.from_url({host.server.url!r}).info('server')['process_id'])"))
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        pk = host.errand()
        assert time.monotonic() - began < 1.5 + SOON
    finally:
        os.kill(pid, signal.SIGCONT)
    host.wait_for(f"finished {pk}")
