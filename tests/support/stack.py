"""A whole site for tests, with its own folder, Redis, database, ports and processes, run by `make run`'s commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from deploy.http import Answer, Browser
from deploy.processes import Program, site
from deploy.redis_server import RedisServer, free_port, wait_for_redis
from deploy.steps import ROOT, TETHERED

READY_SECONDS = 40
STEP_SECONDS = 120
PASSWORD = "demo"
ENTERPRISE, SMALL, STAFF = "enterprise@example.com", "small@example.com", "staff@example.com"


def wait_until(true: Callable[[], Any], seconds: float = 30, pause: float = 0.1, what: str = "the condition") -> Any:
    """Return the first truthy result of `true`. Fail the test if there is none within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := true():
            return answer
        time.sleep(pause)
    raise AssertionError(f"timed out after {seconds} s waiting for {what}")


class Stack:
    """One site. Processes are started and killed by program name."""

    def __init__(self, folder: Path, database_url: str = "", **environment: str) -> None:
        self.folder = folder
        self.var_dir = folder / "var"
        self.port = free_port()
        self.redis = RedisServer(folder / "redis", port=free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.extra = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": database_url,
            "QUICK_LEASES": "1",
            **environment,
        }
        self.programs = {program.name: program for program in site(self.var_dir, self.port)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, program: Program | None = None) -> dict[str, str]:
        own = program or self.programs["web"]
        return own.full_environment(self.var_dir, self.port) | self.extra

    @property
    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    # -- processes ---------------------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start programs by name: redis, web, worker-high, worker-bulk, beat."""
        for name in names:
            command = self.redis.command if name == "redis" else self.programs[name].command
            if name == "redis":
                self.redis.write_conf()
            environment = self.environment(self.programs.get(name))
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [*TETHERED, *command],
                    cwd=ROOT,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if name == "redis":
                wait_for_redis(self.redis.url, READY_SECONDS)
        if "web" in names:
            wait_until(self._ready, READY_SECONDS, what="an answer of /readyz")

    def _ready(self) -> bool:
        if self.processes["web"].poll() is not None:
            raise AssertionError(f"The web server ended:\n{self.log[-3000:]}")
        try:
            return self.browser().get("/readyz").status == 200
        except Exception:  # noqa: BLE001 - not listening yet
            return False

    def await_workers(self) -> None:
        """Wait until every started worker has logged that it is ready."""
        for name in ("worker-high", "worker-bulk"):
            if name in self.processes:
                wait_until(partial(self._logged_ready, name), READY_SECONDS, what=f"{name} ready")

    def _logged_ready(self, name: str) -> bool:
        return " ready" in (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str) -> None:
        """Send SIGKILL to a program and all its children, as the kernel would."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop(self, name: str) -> None:
        """Terminate a program with SIGTERM, and kill it if it takes more than 30 s."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def children(self, name: str) -> list[int]:
        """Return the process ids of a program's direct children."""
        pid = self.processes[name].pid
        listing = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in listing.split()]

    def end(self) -> None:
        """Kill all running programs."""
        for name in list(self.processes):
            process = self.processes.pop(name)
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(10)

    # -- the site ----------------------------------------------------------------------------------------------

    def manage(self, *arguments: str, check: bool = True, **environment: str) -> str:
        """Run `manage.py` in this site's environment and return its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment() | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=STEP_SECONDS, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(
                f"manage.py {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
            )
        return done.stdout + ("" if check else done.stderr)

    def shell(self, code: str) -> str:
        """Run `code` in the site's Django shell and return its output."""
        return self.manage("shell", "--verbosity", "0", "-c", code).strip()

    def browser(self) -> Browser:
        return Browser(self.url, seconds=30)

    def signed_in(self, email: str = ENTERPRISE, password: str = PASSWORD) -> Person:
        return Person(self.browser(), email, password)

    @contextmanager
    def redis_client(self) -> Iterator[redis.Redis]:
        client = redis.Redis.from_url(self.redis.url)
        try:
            yield client
        finally:
            client.close()


class Person:
    """A signed-in user of the site."""

    def __init__(self, browser: Browser, email: str, password: str = PASSWORD) -> None:
        self.browser = browser
        form = browser.get("/accounts/login/").form("username")
        answer = browser.post("/accounts/login/", form.fields | {"username": email, "password": password})
        assert answer.status == 302, answer.text[:500]

    def press(self, **fields: str) -> Answer:
        """Submit the export form without JavaScript.

        `fields_of` says that the page was made for this dataset. Then it has none of the parameters of orders.
        """
        sent = self.browser.get("/exports/").form("dataset").fields
        if "fields_of" in fields:
            sent = {name: value for name, value in sent.items() if not name.startswith("param-")}
        return self.browser.post("/exports/", sent | {"dataset": "orders", "period": "all"} | fields)

    def export(self, **fields: str) -> str:
        """Submit the export form. Return the export's id."""
        answer = self.press(**fields)
        assert answer.status == 303, (answer.status, answer.reason())
        return answer.location.rstrip("/").rsplit("/", 1)[-1]

    def look(self, export: str) -> dict[str, Any]:
        answer = self.browser.get(f"/api/exports/{export}/")
        assert answer.status == 200, answer.text[:500]
        return dict(answer.json())

    def await_end(self, export: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until the export is in a final state. Return it."""
        final = ("ready", "failed", "cancelled", "expired")

        def ended() -> dict[str, Any] | None:
            seen = self.look(export)
            return seen if seen["state"] in final else None

        return dict(wait_until(ended, seconds, what=f"the end of export {export}"))

    def download(self, export: str) -> bytes:
        with self.browser.fetch(f"/exports/{export}/download/") as answer:
            assert answer.status_code == 200, answer.status_code
            return answer.read()


@contextmanager
def running(
    folder: Path, *names: str, database_url: str = "", seed: bool = True, **environment: str
) -> Iterator[Stack]:
    """Yield a prepared site with these programs running (default: all but Beat), and kill them afterwards."""
    stack = Stack(folder, database_url, **environment)
    try:
        stack.start("redis")
        _prepare(stack, seed=seed)
        chosen = names or ("worker-high", "worker-bulk", "web")
        stack.start(*chosen)
        stack.await_workers()
        yield stack
    finally:
        stack.end()


_prepared: dict[bool, Path] = {}
"""Folders with a migrated SQLite site, to be copied by later tests, keyed by whether they contain the demo shop."""


def _prepare(stack: Stack, *, seed: bool) -> None:
    if not stack.extra["DATABASE_URL"] and seed in _prepared:
        shutil.copytree(_prepared[seed], stack.var_dir, dirs_exist_ok=True)
        return
    stack.manage("migrate", "--run-syncdb", "-v0")  # the apps of the tests have no migrations
    stack.manage("collectstatic", "-v0", "--noinput")
    if seed:
        stack.manage("seed_demo", "-v0")
    if not stack.extra["DATABASE_URL"]:
        _prepared[seed] = Path(shutil.copytree(stack.var_dir, stack.folder / "prepared"))
