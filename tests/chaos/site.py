"""The whole site of a run: database, broker, mail server, web, three groups of workers and two Beats."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.http import Browser
from deploy.processes import Program, beat, web, worker
from deploy.redis_server import free_port
from deploy.steps import ROOT, TETHERED, Fault
from tests.chaos.broker import BROKERS, Broker
from tests.chaos.database import Database
from tests.chaos.manager import Manager
from tests.chaos.people import PASSWORD
from tests.support.databases import PostgresServer

WORKERS = ("worker-high", "worker-bulk-1", "worker-bulk-2")
BEATS = ("beat-1", "beat-2")
MAIL, HOOKS = "mail", "hooks"
READY_SECONDS = 90
STEP_SECONDS = 120


@dataclass(frozen=True)
class Options:
    """Options of a run's site."""

    database: str = "postgresql"
    broker: str = "redis"
    quick: bool = False
    """Leases of a few seconds, for the short form."""
    one_machine: bool = False
    """All workers see each other's processes, so that dead ones are detected before their leases expire."""
    rows_per_part: int = 60
    small_rows: int = 40
    backoff_first: float = 5.0

    @property
    def slot_seconds(self) -> int:
        return 30 if self.quick else 60


class Site:
    """One site in a folder. The thread that creates it must last until `stop`."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self.var_dir, self.points = folder / "var", folder / "points"
        self.port, self.mail_port, self.hooks_port = free_port(), free_port(), free_port()
        self.storage_fault = folder / "storage.json"
        self.workers = WORKERS
        self.url = f"http://127.0.0.1:{self.port}"
        self.broker: Broker = BROKERS[options.broker](folder / "broker")
        self.postgres: PostgresServer | None = None
        self.programs = {program.name: program for program in self._programs()}
        self.starts: dict[str, int] = {}
        self._logs: dict[str, int] = {}
        self.manager = Manager(self._start, lambda name: self.programs[name].stop_seconds)
        self._ended = ExitStack()

    def _programs(self) -> list[Program]:
        high, bulk = worker("high", self.var_dir, self.port), worker("bulk", self.var_dir, self.port)
        mail = [sys.executable, "-m", "tests.chaos.mail", str(self.mail_port), str(self.folder)]
        hooks = [sys.executable, "-m", "tests.chaos.hooks", str(self.hooks_port), str(self.folder)]
        return [
            Program(MAIL, mail),
            Program(HOOKS, hooks),
            web(self.port),
            high,
            _another(bulk, "worker-bulk-1"),
            _another(bulk, "worker-bulk-2"),
            *(replace(beat(), name=name) for name in BEATS),
        ]

    # -- start and stop -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Fill the database, start all programs and wait until they are ready. Raises Fault."""
        self.points.mkdir(parents=True)
        self._ended.callback(self.broker.stop)
        self.broker.start()
        if self.options.database == "postgresql":
            self.postgres = PostgresServer(self.folder / "postgresql", synchronous_commit="on")
            self._ended.callback(self.postgres.close)
        self.manage("migrate", "--run-syncdb", "-v0")  # the apps of the tests have no migrations
        arguments = f"{self.options.slot_seconds}, 'http://127.0.0.1:{self.hooks_port}/'"
        self.manage("shell", "-v0", "-c", f"from tests.chaos.prepare import prepare; prepare({arguments})")
        self._ended.callback(self.manager.stop)
        self.manager.keep_up(*self.programs)
        self.manager.start()
        self.await_ready("web", *WORKERS)

    def stop(self) -> None:
        self._ended.close()

    def await_ready(self, *names: str) -> None:
        """Wait until each program has reported that it is ready since its last start. Raises Fault."""
        end = time.monotonic() + READY_SECONDS
        for name in names:
            while not (self._answers() if name == "web" else self._is_ready(name)):
                if time.monotonic() > end or self.manager.failure:
                    raise Fault(f"{name} was not ready within {READY_SECONDS} s; its log is {self.log_of(name)}.")
                time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return Browser(self.url, seconds=5).get("/readyz").status == 200
        except Fault:
            return False

    def _is_ready(self, name: str) -> bool:
        if name not in self._logs or self.manager.pid(name) is None:
            return False
        with self.log_of(name).open("rb") as log:
            log.seek(self._logs[name])
            return b" ready" in log.read()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        program = self.programs[name]
        self.starts[name] = self.starts.get(name, 0) + 1
        with self.log_of(name).open("ab") as log:
            self._logs[name] = log.tell()
            return subprocess.Popen(
                [*TETHERED, *program.command], cwd=ROOT, env=self.environment(program), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    # -- environment of the processes ---------------------------------------------------------------------------------

    def environment(self, program: Program) -> dict[str, str]:
        overrides = {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "CHAOS_FOLDER": str(self.folder),
            "KILL_POINTS": str(self.points),
            "FAULTY_STORAGE": str(self.storage_fault),
            "DATABASE_URL": self.postgres.url if self.postgres else "",
            "EMAIL_URL": f"smtp://127.0.0.1:{self.mail_port}",
            "ROWS_PER_PART": str(self.options.rows_per_part),
            "SMALL_ROWS": str(self.options.small_rows),
            "WINDOW": "5",
            "BACKOFF_FIRST": str(self.options.backoff_first),
            "MACHINE": self._machine(program.name),
            **({"QUICK_LEASES": "1"} if self.options.quick else {}),
            **self.broker.environment,
        }
        return program.full_environment(self.var_dir, self.port, os.environ) | overrides

    def _machine(self, name: str) -> str:
        """Return a new machine name for each start, so that only an expired lease shows that a killed group is dead."""
        return "" if self.options.one_machine else f"{name}-{self.starts.get(name, 0)}"

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` in this site's environment and return its output. Raises Fault."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment(web(self.port)),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=STEP_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Fault(f"manage.py {arguments[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def database(self) -> Database:
        """Return a new connection for the calling thread."""
        return Database(self.postgres.url if self.postgres else "", str(self.var_dir / "db.sqlite3"))

    def sign_in(self, name: str) -> tuple[Browser, str]:
        """Sign a user in. Return the browser and the CSRF token for its forms."""
        browser = Browser(self.url, seconds=10)
        form = browser.get("/accounts/login/").form("username")
        answer = browser.post("/accounts/login/", form.fields | {"username": name, "password": PASSWORD})
        if answer.status != 302:
            raise Fault(f"Signing in as {name} failed with status {answer.status}: {answer.reason()}.")
        token = browser.get("/exports/").form("csrfmiddlewaretoken").fields["csrfmiddlewaretoken"]
        return browser, str(token)


def _another(program: Program, name: str) -> Program:
    """Return a copy of the program under another name, with another Celery node name."""
    command = list(program.command)
    place = next(place for place, word in enumerate(command) if "@" in word)
    command[place] = command[place].replace("@", f"-{name[-1]}@", 1)
    return replace(program, name=name, command=command)
