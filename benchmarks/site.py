"""A site for a measurement: its own folder, database, Redis and processes, the demo shop in it, and its visitors."""

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
    """Where it is, and what its processes run with."""

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
        """Start one of its programs, a worker with that many children."""
        program = next(program for program in site(self.var_dir, self.port) if program.name == name)
        command = list(program.command)
        if children is not None:
            command[command.index("-c") + 1] = str(children)
        with (self.var_dir / f"{name}.log").open("wb") as log:  # anew, so that "ready" is said by this start
            child = subprocess.Popen(
                [*TETHERED, *command], cwd=ROOT, env=self.environment(program), stdout=log, stderr=log
            )
        self.processes[name] = child
        return child

    def stop(self, name: str) -> None:
        redis_server.stop(self.processes.pop(name), 20)

    def wait_for_workers(self) -> None:
        """Until each worker that was started says that it is ready."""
        for name in filter(lambda name: name.startswith("worker"), self.processes):
            until(partial(self._says_ready, name), READY_SECONDS, f"{name} to be ready")

    def _says_ready(self, name: str) -> bool:
        return " ready" in (self.var_dir / f"{name}.log").read_text(errors="replace")

    def stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def visitor(self, name: str) -> Visitor:
        return Visitor(self.url, name)


@contextmanager
def running(folder: Path, names: Sequence[str] = (), **environment: str) -> Iterator[Site]:
    """A prepared site with these programs up, on SQLite unless DATABASE_URL is given; all end with the block."""
    with ExitStack() as ended:
        server = RedisServer(folder / "redis", port=free_port())
        child = server.start()
        ended.callback(redis_server.stop, child)
        here = Site(folder / "var", free_port(), server, child, environment)
        ended.callback(here.stop_all)
        for command in ("migrate --run-syncdb", "collectstatic --noinput", "seed_demo"):
            here.manage(*command.split(), "-v0")
        for name in names:
            here.start(name)
        if "web" in names:
            _await(here.url)
        here.wait_for_workers()
        yield here


def _await(url: str) -> None:
    def answers() -> bool:
        try:
            return Browser(url, seconds=3).get("/readyz").status == 200
        except Fault:
            return False

    until(answers, READY_SECONDS, f"{url} to be ready")


def until(true: Callable[[], Any], seconds: float, what: str, pause: float = 0.1) -> Any:
    """The first truthy answer. Ends the program when there is none within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := true():
            return answer
        time.sleep(pause)
    raise SystemExit(f"Waited {seconds:.0f} s for {what}, in vain.")


class Visitor:
    """Somebody who is signed in: presses the button, looks, waits, cancels."""

    def __init__(self, url: str, name: str) -> None:
        self.browser = Browser(url)
        form = self.browser.get("/accounts/login/").form("username")
        answer = self.browser.post("/accounts/login/", form.fields | {"username": name, "password": "demo"})
        if answer.status != 302:
            raise SystemExit(f"Signing in as {name} was answered {answer.status}: {answer.reason()}")
        form = self.browser.get("/exports/").form("csrfmiddlewaretoken")
        self.token = {"csrfmiddlewaretoken": form.fields["csrfmiddlewaretoken"]}

    def press(self, **fields: str) -> Answer:
        """The button's POST and nothing else."""
        return self.browser.post("/api/exports/", self.token | fields)

    def export(self, **fields: str) -> str:
        """The id of the export that comes of it."""
        answer = self.press(**fields)
        if answer.status != 202:
            raise SystemExit(f"{fields} was answered {answer.status}: {answer.reason()}")
        return str(answer.json()["id"])

    def look(self, export: str) -> dict[str, Any]:
        return dict(self.browser.get(f"/api/exports/{export}/").json())

    def wait(self, export: str, seconds: float, pause: float = 0.1) -> dict[str, Any]:
        """The export once it is ready. Ends the program when it is not within `seconds`, or ends otherwise."""

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
    """What the figures were measured on, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores ({cpu}), {memory} GiB"
