"""A site whose database is about to fail: people who click, what they must get, and ways to be in its way."""

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
    """A running site, a console in it, and what a faultless export looks like."""

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
        """READY with the very bytes of the run without a fault, and told once."""
        assert self.body(export) == self.expected
        assert self.told(export) == 1

    def told(self, export: str) -> int:
        """How many notifications there are of it."""
        return int(self.shell.run(f"print(Notification.objects.filter(link__contains={export!r}).count())"))

    def recorded(self) -> int:
        return int(self.shell.run("print(Export.objects.count())"))

    def begun(self) -> str:
        """A big export that is in the middle."""
        export = self.big.export()
        wait_until(lambda: self.big.person.look(export)["rows_done"], what=f"the middle of {export}", pause=0.02)
        return export

    def manage_processes(self) -> list[str]:
        """Start again what has ended, as the process manager does; their names."""
        ended = [name for name, process in self.stack.processes.items() if process.poll() is not None]
        self.stack.start(*ended)
        return ended


class Clicker:
    """A person whose form is open already: the click is the one request."""

    def __init__(self, stack: Stack, email: str, base: str = "") -> None:
        self.person = Person(Browser(base), email) if base else stack.signed_in(email)
        self.browser = self.person.browser
        self.token = self.browser.get("/exports/").form("dataset").fields["csrfmiddlewaretoken"]

    def click(self, path: str = "/api/exports/", **fields: str) -> Answer:
        asked = {"dataset": "orders", "format": "csv", "period": "all", "csrfmiddlewaretoken": str(self.token)}
        return self.browser.post(path, asked | fields)

    def export(self, **fields: str) -> str:
        answer = self.click(**fields)
        assert answer.status == 202, answer.text
        return identity(answer)


def identity(answer: Answer) -> str:
    return str(answer.json()["id"])


def assert_refused(answer: Answer) -> None:
    """A clear 503 in the language of a program, that says when to come back."""
    assert answer.status == 503, answer.text
    assert answer.json()["error"]["code"] in ("not_recorded", "database_away")
    assert "try again in a minute" in answer.json()["error"]["message"]
    assert answer.headers["Retry-After"] == "60"


@contextmanager
def another_web(stack: Stack, server: PostgresServer, port: int) -> Iterator[str]:
    """A second web server of the same site, which reaches the database through this port; its address."""
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
    """Throw everybody out and take their places, until all of them are ours."""
    own = f"{server.url}?application_name=greedy"
    boss = taken.enter_context(psycopg.connect(own, autocommit=True))
    throw_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name <> %s"
    mine = 1
    while mine < places:
        boss.execute(throw_out, [DATABASE, "greedy"])
        with suppress(psycopg.OperationalError):  # too many, until those thrown out have gone
            taken.enter_context(psycopg.connect(own, autocommit=True))
            mine += 1
