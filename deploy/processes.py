"""The processes of the site: command, environment and stop timeout. `make run` and the tests use them.

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
"""Queue -> prefix of its worker's command. Rendering has a lower priority than web requests and small exports."""

WORKER_STOP_SECONDS = round(ENDS_WITHIN) + 2
"""Time between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Program:
    """A long-running process. SIGTERM shuts it down; after `stop_seconds` its process group is killed."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 10
    start_seconds: int = 2

    def full_environment(self, var_dir: Path, port: int, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return `base` with the variables of the stack and of this program."""
        return {**base, **stack_environment(var_dir, port), **self.environment, "PROCESS_NAME": self.name}


def stack_environment(var_dir: Path, port: int) -> dict[str, str]:
    """Return the environment variables that all processes of a stack share."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "VAR_DIR": str(var_dir),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
    }


def web(port: int, bind: str = LOOPBACK) -> Program:
    """Return the web server. Its other settings are in gunicorn_conf.py."""
    address = f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"
    server = [sys.executable, "-m", "gunicorn", "-c", "python:deploy.gunicorn_conf", "--bind", address]
    return Program("web", [*server, "config.wsgi:application"], stop_seconds=15)


def worker(queue: str, var_dir: Path, port: int) -> Program:
    """Return the worker of one queue. At SIGTERM it gives unfinished tasks back (durable/celery/shutdown.py)."""
    # The name contains a hash of the folder and the port, because all workers on one Redis need different names.
    digest = hashlib.sha256(str(var_dir).encode()).hexdigest()[:6]
    options = ["-Q", queue, "-n", f"{queue}-{digest}-{port}@%h", "-c", str(CONCURRENCY[queue])]
    quiet = [
        "-E",
        "--without-gossip",
        "--without-mingle",
    ]  # events for Flower; no traffic between workers
    return Program(
        f"worker-{queue}",
        [*NICE.get(queue, []), *_celery("worker"), *options, *quiet],
        stop_seconds=WORKER_STOP_SECONDS,
    )


def beat() -> Program:
    scheduler = ["--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"]
    return Program("beat", [*_celery("beat"), *scheduler, "--pidfile="])


def _celery(command: str) -> list[str]:
    # Celery prints a warning of five lines at every start as root.
    no_warning = ["-W", "ignore:You're running the worker with superuser privileges"]
    return [sys.executable, *no_warning, "-m", "celery", "--quiet", "-A", "config.celery", command]


def site(var_dir: Path, port: int, bind: str = LOOPBACK) -> list[Program]:
    """Return all programs except Redis, in the order in which they start."""
    return [web(port, bind), worker("high", var_dir, port), worker("bulk", var_dir, port), beat()]


def private_redis(server: RedisServer) -> Program:
    return Program("redis", server.command, start_seconds=1, stop_seconds=15)
