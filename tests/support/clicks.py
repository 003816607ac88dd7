"""Helpers for tests of database faults: a site, clicking users, and the assertions on their answers."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg

from deploy.http import Answer, Browser
from deploy.processes import web
from deploy.redis_server import free_port
from deploy.steps import ROOT, TETHERED
from tests.support.console import Console
from tests.support.databases import DATABASE, PostgresServer
from tests.support.stack import ENTERPRISE, SMALL, Person, Stack, wait_until

ORDERS = 160_000


class Site:
    """A running site with a console, two clicking users, and the file of an export without faults."""

    def __init__(self, stack: Stack, shell: Console) -> None:
        self.stack, self.shell = stack, shell
        self.big, self.small = Clicker(stack, ENTERPRISE), Clicker(stack, SMALL)
        self.expected = self.body(self.big.export())
        assert sum(1 for _ in csv.reader(io.StringIO(self.expected.decode()))) == ORDERS + 1

    def body(self, export: str) -> bytes:
        seen = self.big.person.await_end(export, 60)
        assert seen["state"] == "ready", seen["error"]
        return self.big.person.download(export)

    def assert_whole(self, export: str) -> None:
        """Assert that the export is READY with the bytes of an export without faults, and has one notification."""
        assert self.body(export) == self.expected
        assert self.notifications(export) == 1

    def notifications(self, export: str) -> int:
        """Return the number of notifications about the export."""
        return int(self.shell.run(f"print(Notification.objects.filter(link__contains={export!r}).count())"))

    def recorded(self) -> int:
        return int(self.shell.run("print(Export.objects.count())"))

    def rendering_export(self) -> str:
        """Return a large export that has rendered some of its rows."""
        export = self.big.export()
        wait_until(lambda: self.big.person.look(export)["rows_done"], what=f"the middle of {export}", pause=0.02)
        return export

    def manage_processes(self) -> list[str]:
        """Restart the programs that have ended, as the process manager does. Return their names."""
        ended = [name for name, process in self.stack.processes.items() if process.poll() is not None]
        self.stack.start(*ended)
        return ended


class Clicker:
    """A user with an open form, so that a click is a single request."""

    def __init__(self, stack: Stack, email: str, base: str = "") -> None:
        self.person = Person(Browser(base), email) if base else stack.signed_in(email)
        self.browser = self.person.browser
        self.token = self.browser.get("/exports/").form("dataset").fields["csrfmiddlewaretoken"]

    def click(self, path: str = "/api/exports/", **fields: str) -> Answer:
        form = {"dataset": "orders", "format": "csv", "period": "all", "csrfmiddlewaretoken": str(self.token)}
        return self.browser.post(path, form | fields)

    def export(self, **fields: str) -> str:
        answer = self.click(**fields)
        assert answer.status == 202, answer.text
        return identity(answer)


def identity(answer: Answer) -> str:
    return str(answer.json()["id"])


def assert_refused(answer: Answer) -> None:
    """Assert that the answer is a JSON 503 with a message and a Retry-After header."""
    assert answer.status == 503, answer.text
    assert answer.json()["error"]["code"] in ("not_recorded", "database_away")
    assert "again in a minute" in answer.json()["error"]["message"]
    assert answer.headers["Retry-After"] == "60"


@contextmanager
def another_web(stack: Stack, server: PostgresServer, port: int) -> Iterator[str]:
    """Run a second web server of the site, connected to the database through `port`. Yield its URL."""
    program = web(free_port())
    url = f"http://{program.command[program.command.index('--bind') + 1]}"
    through = {"DATABASE_URL": server.url.replace(str(server.port), str(port))}
    with (stack.folder / "web-2.log").open("ab") as log:
        process = subprocess.Popen(
            [*TETHERED, *program.command],
            cwd=ROOT,
            env=stack.environment() | through,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(url), what="an answer of the second web server")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def answers(url: str) -> bool:
    try:
        return Browser(url).get("/healthz").status == 200
    except Exception:  # noqa: BLE001 - not listening yet
        return False


def take_all_places(server: PostgresServer, places: int, taken: ExitStack) -> None:
    """Terminate all other connections and open new ones until all `places` are taken."""
    own = f"{server.url}?application_name=greedy"
    superuser = taken.enter_context(psycopg.connect(own, autocommit=True))
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name <> %s"
    opened = 1
    while opened < places:
        superuser.execute(terminate, [DATABASE, "greedy"])
        with suppress(psycopg.OperationalError):  # too many connections until the terminated ones have closed
            taken.enter_context(psycopg.connect(own, autocommit=True))
            opened += 1
