"""Several hosts on this machine: network namespaces with their own addresses, joined by a bridge. Needs root.

with network("store", "web") as hosts:
    with hosts["store"].entered():
        ...             # sockets of this thread, and the processes that it starts, belong to that host
    hosts["web"].cut()  # the link is down: packets are lost, and connections stay open
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
"""sched.h"""
NAMESPACES = Path("/run/netns")
MINE = Path("/proc/thread-self/ns/net")


@dataclass(frozen=True)
class Host:
    """One host: the name of its namespace, and its address."""

    namespace: str
    address: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread to the host for the duration of the block."""
        with MINE.open() as before:
            _enter(NAMESPACES / self.namespace)
            try:
                yield
            finally:
                _set(before.fileno())

    def cut(self) -> None:
        """Take the link of the host down."""
        _ip("-n", self.namespace, "link", "set", "dev", "eth0", "down")

    def join(self) -> None:
        _ip("-n", self.namespace, "link", "set", "dev", "eth0", "up")


@contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Yield hosts by name, with addresses in 10.91.0.0/24. No other namespace is changed; all end with the block."""
    prefix = f"carryall-{os.getpid()}"
    switch = f"{prefix}-switch"
    hosts = {name: Host(f"{prefix}-{name}", f"10.91.0.{number}") for number, name in enumerate(names, start=1)}
    with ExitStack() as ended:
        for namespace in (switch, *(host.namespace for host in hosts.values())):
            _ip("netns", "add", namespace)
            ended.callback(_ip, "netns", "delete", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for name, host in hosts.items():
            # Both ends are made in namespaces of ours.
            _ip("-n", switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            _ip("-n", switch, "link", "set", name, "master", "bridge", "up")
            _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
            host.join()
        yield hosts


def possible() -> str:
    """Return why this machine cannot have such hosts, or ""."""
    if os.geteuid() != 0:
        return "Network namespaces need root."
    name = f"carryall-{os.getpid()}-probe"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"Network namespaces cannot be made: {error}"
    return ""


def _enter(path: Path) -> None:
    with path.open() as namespace:
        _set(namespace.fileno())


def _set(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns failed")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
