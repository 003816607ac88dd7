"""The site's processes: exact command, environment and end. `make run` and the tests use these.

program = site(var_dir, port)[0]
subprocess.Popen(program.command, cwd=ROOT, env=program.full_environment(var_dir, port))
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.queues import BULK, CONCURRENCY
from deploy.redis_server import RedisServer
from deploy.steps import ROOT
from durable.celery.shutdown import ENDS_WITHIN

LOOPBACK = "127.0.0.1"
NICE = {BULK: ["nice", "-n", "5"]}
"""Queue -> what stands before its worker's command: rendering takes what clicks and small exports leave."""

STOP = round(ENDS_WITHIN) + 2
"""Seconds until a worker that was told to end is killed."""


@dataclass(frozen=True)
class Program:
    """One process that stays up. SIGTERM ends it in good order; after `stop_seconds` its group is killed."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 10
    start_seconds: int = 2

    def full_environment(self, var_dir: Path, port: int, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What the process runs with: `base`, where this stack lives, and what is the program's own."""
        return {**base, **stack_environment(var_dir, port), **self.environment, "PROCESS_NAME": self.name}


def stack_environment(var_dir: Path, port: int) -> dict[str, str]:
    """What all processes of one stack share."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "VAR_DIR": str(var_dir),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
    }


def web(port: int, bind: str = LOOPBACK) -> Program:
    """The web server; its own settings stand in gunicorn_conf.py."""
    address = f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"
    server = [sys.executable, "-m", "gunicorn", "-c", "python:deploy.gunicorn_conf", "--bind", address]
    return Program("web", [*server, "config.wsgi:application"], stop_seconds=15)


def worker(queue: str, var_dir: Path, port: int) -> Program:
    """The worker of one queue. SIGTERM gives its tasks a grace and the rest back (durable/celery/shutdown.py)."""
    # Two stacks on one Redis must not answer to one name: it names the folder (short) and the port.
    digest = hashlib.sha256(str(var_dir).encode()).hexdigest()[:6]
    options = ["-Q", queue, "-n", f"{queue}-{digest}-{port}@%h", "-c", str(CONCURRENCY[queue])]
    quiet = [
        "-E",
        "--without-gossip",
        "--without-mingle",
    ]  # events for the dashboard, no talk between the two workers
    return Program(f"worker-{queue}", [*NICE.get(queue, []), *_celery("worker"), *options, *quiet], stop_seconds=STOP)


def beat() -> Program:
    scheduler = ["--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"]
    return Program("beat", [*_celery("beat"), *scheduler, "--pidfile="])


def _celery(command: str) -> list[str]:
    # As root Celery prints five lines of advice at every start; who runs this as root has decided so.
    calm = ["-W", "ignore:You're running the worker with superuser privileges"]
    return [sys.executable, *calm, "-m", "celery", "--quiet", "-A", "config.celery", command]


def site(var_dir: Path, port: int, bind: str = LOOPBACK) -> list[Program]:
    """Everything but Redis, in the order of starting."""
    return [web(port, bind), worker("high", var_dir, port), worker("bulk", var_dir, port), beat()]


def private_redis(server: RedisServer) -> Program:
    return Program("redis", server.command, start_seconds=1, stop_seconds=15)
