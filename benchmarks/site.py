"""A site for a measurement, with its own folder, database, Redis and processes, the demo shop, and visitors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deploy import redis_server
from deploy.http import Answer, Browser
from deploy.processes import Program, site
from deploy.redis_server import RedisServer, free_port
from deploy.steps import ROOT, TETHERED, Fault

READY_SECONDS = 60
ENTERPRISE, SMALL = "enterprise@example.com", "small@example.com"
ALL = ("web", "worker-high", "worker-bulk")
FINAL = ("ready", "failed", "cancelled", "expired")


@dataclass
class Site:
    """A site: its folder, port and Redis, the environment of its processes, and the running ones by name."""

    var_dir: Path
    port: int
    redis: RedisServer
    redis_process: subprocess.Popen[bytes]
    extra: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, program: Program) -> dict[str, str]:
        own = {"DJANGO_SETTINGS_MODULE": "benchmarks.settings", "REDIS_URL": self.redis.url}
        return program.full_environment(self.var_dir, self.port) | own | dict(self.extra)

    def manage(self, *arguments: str) -> None:
        web = site(self.var_dir, self.port)[0]
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment(web), check=True, capture_output=True)

    def start(self, name: str, children: int | None = None) -> subprocess.Popen[bytes]:
        """Start a program of the site. `children` is the number of child processes of a worker."""
        program = next(program for program in site(self.var_dir, self.port) if program.name == name)
        command = list(program.command)
        if children is not None:
            command[command.index("-c") + 1] = str(children)
        with (self.var_dir / f"{name}.log").open("wb") as log:  # truncated, so that "ready" comes from this start
            child = subprocess.Popen(
                [*TETHERED, *command], cwd=ROOT, env=self.environment(program), stdout=log, stderr=log
            )
        self.processes[name] = child
        return child

    def stop(self, name: str) -> None:
        redis_server.stop(self.processes.pop(name), 20)

    def wait_for_workers(self) -> None:
        """Wait until each started worker has logged that it is ready."""
        for name in filter(lambda name: name.startswith("worker"), self.processes):
            until(partial(self._is_ready, name), READY_SECONDS, f"{name} to be ready")

    def _is_ready(self, name: str) -> bool:
        return " ready" in (self.var_dir / f"{name}.log").read_text(errors="replace")

    def stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def visitor(self, name: str) -> Visitor:
        return Visitor(self.url, name)


@contextmanager
def running(folder: Path, names: Sequence[str] = (), **environment: str) -> Iterator[Site]:
    """Prepare a site, start these programs, and stop them after the block. SQLite, unless DATABASE_URL is given."""
    with ExitStack() as cleanup:
        server = RedisServer(folder / "redis", port=free_port())
        child = server.start()
        cleanup.callback(redis_server.stop, child)
        prepared = Site(folder / "var", free_port(), server, child, environment)
        cleanup.callback(prepared.stop_all)
        for command in ("migrate --run-syncdb", "collectstatic --noinput", "seed_demo"):
            prepared.manage(*command.split(), "-v0")
        for name in names:
            prepared.start(name)
        if "web" in names:
            _wait_for_web(prepared.url)
        prepared.wait_for_workers()
        yield prepared


def _wait_for_web(url: str) -> None:
    def is_ready() -> bool:
        try:
            return Browser(url, seconds=3).get("/readyz").status == 200
        except Fault:
            return False

    until(is_ready, READY_SECONDS, f"{url} to be ready")


def until(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.1) -> Any:
    """Return the first truthy result of `condition`. Raise SystemExit after `seconds` without one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(pause)
    raise SystemExit(f"Timed out after {seconds:.0f} s while waiting for {what}.")


class Visitor:
    """A signed-in user, who requests exports, polls, waits and cancels."""

    def __init__(self, url: str, name: str) -> None:
        self.browser = Browser(url)
        form = self.browser.get("/accounts/login/").form("username")
        answer = self.browser.post("/accounts/login/", form.fields | {"username": name, "password": "demo"})
        if answer.status != 302:
            raise SystemExit(f"Signing in as {name} returned {answer.status}: {answer.reason()}")
        form = self.browser.get("/exports/").form("csrfmiddlewaretoken")
        self.token = {"csrfmiddlewaretoken": form.fields["csrfmiddlewaretoken"]}

    def press(self, **fields: str) -> Answer:
        """Send the POST request of the button. Return its response."""
        return self.browser.post("/api/exports/", self.token | fields)

    def export(self, **fields: str) -> str:
        """Request an export. Return its id. Raise SystemExit if it is refused."""
        answer = self.press(**fields)
        if answer.status != 202:
            raise SystemExit(f"The request {fields} returned {answer.status}: {answer.reason()}")
        return str(answer.json()["id"])

    def look(self, export: str) -> dict[str, Any]:
        return dict(self.browser.get(f"/api/exports/{export}/").json())

    def wait(self, export: str, seconds: float, pause: float = 0.1) -> dict[str, Any]:
        """Return the export when it is ready. Raise SystemExit after `seconds`, or if it ends in another state."""

        def ended() -> dict[str, Any] | None:
            seen = self.look(export)
            return seen if seen["state"] in FINAL else None

        seen = dict(until(ended, seconds, f"export {export}", pause))
        if seen["state"] != "ready":
            raise SystemExit(f"Export {export} is {seen['state']}: {seen['error']}")
        return seen

    def cancel(self, export: str) -> None:
        self.browser.post(f"/api/exports/{export}/cancel/", self.token)


def machine() -> str:
    """Describe this machine in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores ({cpu}), {memory} GiB"
