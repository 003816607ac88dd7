"""Celery apps as sites have them, with settings of their own, for tests of durable.celery in one process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Celery

from durable.celery import install, site


@contextmanager
def installed(broker_url: str, **settings: Any) -> Iterator[Celery]:
    """Yield an app that uses `broker_url` and no timeouts, with durable.celery installed, and restore the site's."""
    before = list(site._installed)
    app = Celery("shop", set_as_current=False, fixups=[], changes={"broker_url": broker_url, **settings})
    install(app)
    try:
        yield app
    finally:
        site._installed[:] = before


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


@contextmanager
def unreachable_server() -> Iterator[int]:
    """Yield a port that does not answer attempts to connect, as behind a firewall: its queue of connections is full."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]
