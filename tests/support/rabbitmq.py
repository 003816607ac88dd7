"""A private RabbitMQ of Debian's package rabbitmq-server, on loopback. It ends with this process.

with running(folder) as server:
    site = Stack(other_folder, BROKER_URL=server.url)
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import amqp

from deploy.redis_server import free_port, make_private
from deploy.steps import TETHERED
from tests.support.stack import wait_until

START_SECONDS = 90
SCRIPTS = Path("/usr/lib/rabbitmq/lib")
"""Folder of the package. Its command on the PATH changes to a user of its own, and refuses others."""
LOOPBACK = "127.0.0.1"


def script(name: str) -> Path | None:
    """Return a script of the newest installed release, or None."""
    return next(iter(sorted(SCRIPTS.glob(f"rabbitmq_server-*/sbin/{name}"), reverse=True)), None)


class RabbitServer:
    """One node, and the port mapper (epmd) that it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._mapper_port, self._distribution_port = free_port(), free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "rabbitmq.log"

    def start(self) -> None:
        """Start the node and wait until it accepts connections. Raises RuntimeError if it is not installed."""
        server = script("rabbitmq-server")
        if server is None:
            raise RuntimeError(
                "rabbitmq-server not found: run `make setup-dev`, or install Debian's package of this name."
            )
        make_private(self.folder)
        if not self._processes:
            self._run(["epmd", "-port", str(self._mapper_port), "-address", LOOPBACK])
        self._run([str(server)])
        wait_until(self._answers, START_SECONDS, what=f"RabbitMQ, whose log is {self.log}")

    def kill(self) -> None:
        """Send SIGKILL to the node. What it has confirmed is on its disk."""
        self._signal(signal.SIGKILL)
        self._processes.pop().wait(10)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        while self._processes:
            self.thaw()
            self.kill()

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl and return its output."""
        command = [str(script("rabbitmqctl")), "--quiet", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "HOME": str(self.folder),  # of the file with the cookie
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": f"carryall{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none.conf"),
        }

    def _run(self, command: list[str]) -> None:
        with (self.folder / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [*TETHERED, *command], cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the node and its helpers, or with no node to the port mapper."""
        with suppress(ProcessLookupError):
            os.killpg(self._processes[-1].pid, number)

    def _answers(self) -> bool:
        try:
            connection = amqp.Connection(self.address, connect_timeout=2, read_timeout=2)
            connection.connect()
            connection.close()
        except (OSError, amqp.AMQPError):
            return False
        return True


@contextmanager
def running(folder: Path) -> Iterator[RabbitServer]:
    server = RabbitServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
