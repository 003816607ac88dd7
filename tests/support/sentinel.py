"""Redis under Sentinel: a master, a replica and three sentinels on loopback.

with watched(folder) as trio:
    site = Stack(other_folder, **trio.environment)
    trio.failover()                  # kill the master; return once all sentinels agree on the new one
    trio.revive()                    # restart the old master as a replica, ready for another failover
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import redis

from deploy.redis_server import find_redis_binary, free_port, make_private
from deploy.steps import ROOT, TETHERED
from tests.support.stack import wait_until

MASTER = "carryall"
LOOPBACK = "127.0.0.1"
SECONDS = 30
How = Literal["kill", "freeze", "order"]
"""Kind of failover: SIGKILL or SIGSTOP to the master, or a planned one with SENTINEL FAILOVER."""


class Trio:
    """Two servers, "one" and "two", and three sentinels with a quorum of two."""

    def __init__(self, folder: Path, *, down_after_ms: int = 800, password: str = "") -> None:
        """`down_after_ms` is the silence after which a server counts as down. All servers share `password`."""
        self.folder, self.down_after_ms, self.password = folder, down_after_ms, password
        self.servers = {name: free_port() for name in ("one", "two")}
        self.sentinels = {f"sentinel-{number}": free_port() for number in (1, 2, 3)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        password = quote(self.password, safe="")
        user, own = (f":{password}@", f"?sentinel_password={password}") if password else ("", "")
        addresses = ",".join(f"{LOOPBACK}:{port}" for port in self.sentinels.values())
        return f"sentinel://{user}{addresses}/{MASTER}{own}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which a site uses this Redis."""
        return {"REDIS_URL": self.url}

    # -- start and stop ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all five processes, and wait until the sentinels have found each other and the replica."""
        for name in self.servers:
            self._write_server(name)
            self._run(name)
            wait_until(partial(self._answers, name), SECONDS, 0.05, f"an answer of {name}")
        wait_until(
            lambda: self.info("two").get("master_link_status") == "up",
            SECONDS,
            0.05,
            "the replica's initial synchronization",
        )
        for name in self.sentinels:
            self._write_sentinel(name)
            self._run(name, "--sentinel")
        for name in self.sentinels:
            wait_until(partial(self._knows_all, name), SECONDS, 0.1, f"{name} to find the others")

    def stop(self) -> None:
        """Kill all processes."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        self.processes.clear()

    def _run(self, name: str, *options: str) -> None:
        command = [*TETHERED, str(find_redis_binary()), str(self.folder / f"{name}.conf"), *options]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def _write_server(self, name: str) -> None:
        home = self.folder / name
        make_private(home)
        lines = [f"port {self.servers[name]}", f"bind {LOOPBACK}", f'dir "{home}"', "appendonly yes", 'save ""']
        lines += ["maxmemory-policy noeviction", "repl-ping-replica-period 1"]
        lines += [f"requirepass {self.password}", f"masterauth {self.password}"] if self.password else []
        lines += [f"replicaof {LOOPBACK} {self.servers['one']}"] if name == "two" else []
        (self.folder / f"{name}.conf").write_text("\n".join(lines) + "\n")

    def _write_sentinel(self, name: str) -> None:
        lines = [f"port {self.sentinels[name]}", f"bind {LOOPBACK}", f'dir "{self.folder}"']
        lines += [f"sentinel monitor {MASTER} {LOOPBACK} {self.servers['one']} 2"]
        lines += [f"sentinel down-after-milliseconds {MASTER} {self.down_after_ms}"]
        lines += [f"sentinel failover-timeout {MASTER} 2000"]
        lines += (
            [f"requirepass {self.password}", f"sentinel auth-pass {MASTER} {self.password}"] if self.password else []
        )
        (self.folder / f"{name}.conf").write_text("\n".join(lines) + "\n")

    # -- state -------------------------------------------------------------------------------------------------

    @contextmanager
    def client(self, name: str) -> Iterator[Any]:
        """Yield a client of one server or sentinel."""
        port = (self.servers | self.sentinels)[name]
        once: Any = None
        client = redis.Redis(
            LOOPBACK, port, password=self.password or None, socket_timeout=2, decode_responses=True, retry=once
        )
        try:
            yield client
        finally:
            client.close()

    def info(self, name: str) -> dict[str, Any]:
        """Return a server's replication info, empty if it does not answer."""
        with self.client(name) as client, suppress(redis.RedisError, OSError):
            return dict(client.info("replication"))
        return {}

    def _answers(self, name: str) -> bool:
        return bool(self.info(name))

    def seen(self, sentinel: str) -> dict[str, Any]:
        """Return one sentinel's state of the master, empty if it does not answer."""
        with self.client(sentinel) as client, suppress(redis.RedisError, OSError):
            seen: Any = client.sentinel_master(MASTER)
            return dict(seen)
        return {}

    def _knows_all(self, sentinel: str) -> bool:
        seen = self.seen(sentinel)
        return seen.get("num-other-sentinels") == 2 and seen.get("num-slaves") == 1

    @property
    def master(self) -> str:
        """Name of the master on which all sentinels and the server itself agree, or ""."""
        ports = {self.seen(sentinel).get("port") for sentinel in self.sentinels}
        names = [name for name, port in self.servers.items() if ports == {port}]
        return names[0] if names and self.info(names[0]).get("role") == "master" else ""

    # -- faults ------------------------------------------------------------------------------------------------

    def failover(self, how: How = "kill", meanwhile: Callable[[], object] = lambda: None) -> str:
        """Fail the master over and return the name of the new one. `meanwhile` is called before the replacement."""
        old = wait_until(lambda: self.master, SECONDS, 0.1, "the sentinels' agreement on a master")
        actions: dict[str, Callable[[], Any]] = {
            "kill": partial(self.kill, old),
            "freeze": partial(self._signal, old, signal.SIGSTOP),
            "order": partial(wait_until, partial(self._order, old), SECONDS, 0.1, "Sentinel to accept the failover"),
        }
        actions[how]()
        meanwhile()

        def new() -> str:
            if how == "order":  # repeat it: Sentinel gives up if the replica does not answer in time
                self._order(old)
            return "" if self.master == old else self.master

        return str(wait_until(new, SECONDS, 0.1, "a new master"))

    def kill_master(self) -> str:
        """Send SIGKILL to the master, without waiting for the failover. Return its name."""
        old = wait_until(lambda: self.master, SECONDS, 0.1, "the sentinels' agreement on a master")
        self.kill(old)
        return str(old)

    def kill(self, name: str) -> None:
        """Send SIGKILL to a server or a sentinel."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def revive(self) -> None:
        """Restart killed processes, resume frozen ones, and wait until the replica is connected to the master."""
        for name in [*self.servers, *self.sentinels]:
            if name not in self.processes:
                self._run(name, *(["--sentinel"] if name in self.sentinels else []))
            self._signal(name, signal.SIGCONT)
        wait_until(self._paired, SECONDS, 0.1, "a master with its replica")

    def _paired(self) -> bool:
        """Return whether the replica is connected. Demote a second master, as Sentinel would do after ten seconds."""
        master = self.master
        if not master:
            return False
        (other,) = set(self.servers) - {master}
        seen = self.info(other)
        if seen.get("role") == "master":
            with self.client(other) as client:
                client.replicaof(LOOPBACK, self.servers[master])
        return seen.get("master_link_status") == "up"

    def _signal(self, name: str, number: signal.Signals) -> None:
        os.killpg(self.processes[name].pid, number)

    def _order(self, old: str) -> bool:
        """Request a failover. Return False if there is no suitable replica (NOGOODSLAVE) or one is running (INPROG)."""
        first = "sentinel-1"
        with self.client(first) as client, suppress(redis.ResponseError):
            if self.seen(first).get("port") == self.servers[old]:
                return bool(client.execute_command("SENTINEL", "FAILOVER", MASTER))
        return False


@contextmanager
def watched(folder: Path, *, password: str = "") -> Iterator[Trio]:
    """Yield a running trio, and stop it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    trio = Trio(folder, password=password)
    try:
        trio.start()
        yield trio
    finally:
        trio.stop()
