"""A PgBouncer in transaction mode in front of a test's PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from deploy.redis_server import free_port
from deploy.system import find_program
from deploy.tether import end_with_parent
from tests.support.databases import UNPRIVILEGED
from tests.support.stack import wait_until

START_SECONDS = 20


@contextmanager
def pgbouncer(url: str, *, pool: int = 20) -> Iterator[str]:
    """Run PgBouncer in front of the database at `url`, with `pool` server connections. Yield the URL to connect to."""
    program = find_program("pgbouncer")
    if program is None:
        raise RuntimeError("pgbouncer not found: run `make setup-dev`, or install Debian's package pgbouncer.")
    server = urlsplit(url)
    port = free_port()
    home = Path(tempfile.mkdtemp(prefix="carryall-pgbouncer-"))
    (home / "users.txt").write_text(f'"{server.username}" "{server.password}"\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "plain",
        "auth_file": home / "users.txt",
        "pool_mode": "transaction",
        "default_pool_size": pool,
        "max_client_conn": 400,
        "query_wait_timeout": 20,
        "logfile": home / "pgbouncer.log",
    }
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.hostname} port={server.port}\n[pgbouncer]\n{lines}\n"
    )
    root = os.geteuid() == 0  # PgBouncer refuses to run as root
    if root:
        for path in (home, *home.iterdir()):
            shutil.chown(path, UNPRIVILEGED)
    process = subprocess.Popen(
        [program, str(home / "pgbouncer.ini")], user=UNPRIVILEGED if root else None, cwd=home,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: end_with_parent(signal.SIGKILL),
    )  # fmt: skip
    try:
        through = f"postgresql://{server.username}:{server.password}@127.0.0.1:{port}{server.path}"
        wait_until(lambda: _answers(through, process, home), START_SECONDS, what="PgBouncer's start")
        yield through
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _answers(url: str, process: subprocess.Popen[bytes], home: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"PgBouncer ended: {(home / 'pgbouncer.log').read_text(errors='replace')[-2000:]}")
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
