"""A MariaDB server for tests, on a socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from deploy.system import find_program
from deploy.tether import end_with_parent
from tests.support.databases import UNPRIVILEGED
from tests.support.stack import wait_until

START_SECONDS = 30


def installed() -> bool:
    """Return whether the server and Django's driver for it are installed. Only some tests need them."""
    return find_program("mariadbd") is not None and find_spec("MySQLdb") is not None


@contextmanager
def mariadb() -> Iterator[str]:
    """Run a new server. Yield the path of its socket, on which the user root needs no password."""
    program = find_program("mariadbd")
    install, client, named = map(shutil.which, ("mariadb-install-db", "mariadb", "mariadb-tzinfo-to-sql"))
    if not (program and install and client and named):
        raise RuntimeError("mariadbd not found: install Debian's package mariadb-server.")
    home = Path(tempfile.mkdtemp(prefix="carryall-mariadb-"))
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)
    data, sock = home / "data", home / "socket"
    subprocess.run(
        [install, f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True, user=user, cwd=home,
    )  # fmt: skip
    process = subprocess.Popen(
        [program, "--no-defaults", f"--datadir={data}", f"--socket={sock}", "--skip-networking",
         f"--pid-file={home / 'pid'}", f"--log-error={home / 'log'}", "--innodb-flush-log-at-trx-commit=0",
         "--character-set-server=utf8mb4"],
        user=user, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: end_with_parent(signal.SIGKILL),
    )  # fmt: skip
    try:
        wait_until(sock.exists, START_SECONDS, what="MariaDB's start")
        zones = subprocess.run([named, "/usr/share/zoneinfo"], check=True, capture_output=True)
        subprocess.run(
            [client, f"--socket={sock}", "-uroot", "mysql"], check=True, input=zones.stdout, capture_output=True
        )
        yield str(sock)
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)
