"""A site for a measurement: its own folder, SQLite, Redis and processes, with the demo shop in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy import redis_server
from deploy.http import Browser
from deploy.processes import Program, site
from deploy.redis_server import RedisServer, free_port
from deploy.steps import ROOT, TETHERED, Fault

READY_SECONDS = 60


@dataclass
class Site:
    """Where it is, and what its processes run with."""

    var_dir: Path
    port: int
    redis: RedisServer
    redis_process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, program: Program) -> dict[str, str]:
        return program.full_environment(self.var_dir, self.port) | {"REDIS_URL": self.redis.url}

    def manage(self, *arguments: str) -> None:
        web = site(self.var_dir, self.port)[0]
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(command, cwd=ROOT, env=self.environment(web), check=True, capture_output=True)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        program = next(program for program in site(self.var_dir, self.port) if program.name == name)
        with (self.var_dir / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*TETHERED, *program.command], cwd=ROOT, env=self.environment(program), stdout=log, stderr=log
            )


@contextmanager
def running(folder: Path, names: Sequence[str] = ()) -> Iterator[Site]:
    """A prepared site with these programs up; everything ends with the block."""
    with ExitStack() as ended:
        server = RedisServer(folder / "redis", port=free_port())
        child = server.start()
        ended.callback(redis_server.stop, child)
        here = Site(folder / "var", free_port(), server, child)
        for command in ("migrate", "collectstatic --noinput", "seed_demo"):
            here.manage(*command.split(), "-v0")
        for name in names:
            ended.callback(redis_server.stop, here.start(name))
        if "web" in names:
            _await(here.url)
        yield here


def _await(url: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        try:
            if Browser(url, seconds=3).get("/readyz").status == 200:
                return
        except Fault:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{url} did not become ready.")


def machine() -> str:
    """What the figures were measured on, in one line."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores ({cpu}), {memory} GiB, Python {sys.version.split()[0]}, SQLite"
