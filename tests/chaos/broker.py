"""Brokers of a run, which can be killed, frozen, flushed and disconnected: Redis, Redis with Sentinel, RabbitMQ."""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import amqp
import redis

from config.queues import CONCURRENCY
from deploy.redis_server import RedisServer, free_port
from tests.support.rabbitmq import RabbitServer
from tests.support.sentinel import Trio
from tests.support.stack import wait_until

SECONDS = 30


class Broker(ABC):
    """Base class of brokers. Only the thread that lasts for the whole run may start, kill and revive one."""

    name: str

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Environment variables with which a site uses this broker."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def kill(self) -> str:
        """Send SIGKILL. Return a description of the server that was killed."""

    @abstractmethod
    def freeze(self) -> str:
        """Send SIGSTOP. Return a description of the server that was stopped."""

    @abstractmethod
    def revive(self) -> None:
        """Restart or resume the server that was killed or stopped."""

    @abstractmethod
    def flush(self) -> int:
        """Delete everything. Return the number of keys or messages deleted."""

    @abstractmethod
    def cut(self) -> int:
        """Close all client connections. Return the number closed."""

    @abstractmethod
    def version(self) -> str:
        """Return the version of the server."""

    @abstractmethod
    def stop(self) -> None: ...


class Redis(Broker):
    """What the brokers that are a Redis have in common."""

    @abstractmethod
    def client(self) -> redis.Redis:
        """Return a client of the server that accepts writes."""

    def flush(self) -> int:
        with self.client() as client:
            keys: Any = client.dbsize()
            client.flushall()
            return int(keys)

    def cut(self) -> int:
        with self.client() as client:
            cut: Any = client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            return int(cut)

    def version(self) -> str:
        with self.client() as client:
            info: Any = client.info("server")
            return str(info["redis_version"])


class PlainRedis(Redis):
    """One server that persists its data to disk."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        self._server = RedisServer(folder, port=free_port())
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"REDIS_URL": self._server.url}

    def start(self) -> None:
        self._child = self._server.start()

    def kill(self) -> str:
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(10)
            self._child = None
        return "Redis"

    def freeze(self) -> str:
        self._signal(signal.SIGSTOP)
        return "Redis"

    def revive(self) -> None:
        if self._child is None:
            self.start()
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.poll() is None:
            os.kill(self._child.pid, number)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self._server.url, socket_timeout=5, socket_connect_timeout=2)

    def stop(self) -> None:
        self._signal(signal.SIGCONT)
        self.kill()


class Watched(Redis):
    """A master and a replica under three Sentinels, which fail over when the master is killed or stopped."""

    name = "sentinel"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._trio = Trio(folder)

    @property
    def environment(self) -> dict[str, str]:
        return self._trio.environment

    def start(self) -> None:
        self._trio.start()

    def kill(self) -> str:
        return f"master {self._trio.kill_master()}"

    def freeze(self) -> str:
        name = self._master()
        os.killpg(self._trio.processes[name].pid, signal.SIGSTOP)
        return f"master {name}"

    def order(self) -> str:
        """Trigger a planned failover. Return a description of the new master."""
        return f"new master {self._trio.failover('order')}"

    def revive(self) -> None:
        self._trio.revive()

    def _master(self) -> str:
        return str(wait_until(lambda: self._trio.master, SECONDS, 0.1, "the sentinels' agreement on a master"))

    def client(self) -> redis.Redis:
        port = self._trio.servers[self._master()]
        return redis.Redis("127.0.0.1", port, socket_timeout=5, socket_connect_timeout=2)

    def stop(self) -> None:
        self._trio.stop()


class Rabbit(Broker):
    """One RabbitMQ with quorum queues."""

    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        self._server = RabbitServer(folder)
        self._alive = False

    @property
    def environment(self) -> dict[str, str]:
        return {"BROKER_URL": self._server.url}

    def start(self) -> None:
        self._server.start()
        self._alive = True

    def kill(self) -> str:
        self._server.kill()
        self._alive = False
        return "RabbitMQ"

    def freeze(self) -> str:
        self._server.freeze()
        return "RabbitMQ"

    def revive(self) -> None:
        if self._alive:
            self._server.thaw()
        else:
            self.start()

    def flush(self) -> int:
        with amqp.Connection(self._server.address, connect_timeout=2, read_timeout=10) as connection:
            channel: Any = connection.channel()
            return sum(channel.queue_purge(queue) for queue in CONCURRENCY)

    def cut(self) -> int:
        pids = self._server.control("list_connections", "pid").split()
        self._server.control("close_all_connections", "a fault of the trial")
        return len(pids)

    def version(self) -> str:
        return self._server.control("version").strip()

    def stop(self) -> None:
        self._server.stop()


BROKERS: dict[str, Callable[[Path], Broker]] = {"redis": PlainRedis, "sentinel": Watched, "rabbitmq": Rabbit}
