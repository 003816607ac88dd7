"""A WSGI application for tests of the web server, and server settings with short timeouts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deploy import gunicorn_worker

workers = 1
threads = 2
worker_class = "deploy.gunicorn_worker.Worker"
worker_connections = 20
graceful_timeout = 10
keepalive = 1
control_socket_disable = True
gunicorn_worker.HEAD_SECONDS = 2.0
gunicorn_worker.BODY_SECONDS = 2.0
gunicorn_worker.ANSWER_SECONDS = 2.0
gunicorn_worker.UNFINISHED_BYTES = 4 * 1024 * 1024

BLOCK = bytes(range(256)) * 256
BLOCKS = 32
"""2 MB in total: more than the kernel and the server buffer for a client that does not read."""


class File:
    """Iterator of generated blocks. `close` appends the number of blocks made to the file CLOSED."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.fails_after = fails_after
        self.made = 0

    def __iter__(self) -> Iterator[bytes]:
        for number in range(BLOCKS):
            if number == self.fails_after:
                raise ValueError("the file is damaged")
            self.made += 1
            yield BLOCK

    def close(self) -> None:
        with Path(os.environ["CLOSED"]).open("a") as notes:
            notes.write(f"{self.made}\n")


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
    path, size = environ["PATH_INFO"], str(len(BLOCK) * BLOCKS)
    if path == "/echo":
        body = environ["wsgi.input"].read()
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    if path == "/unread":
        start("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    if path == "/file":
        start("200 OK", [("Content-Length", size)])
        return File()
    if path == "/chunks":
        start("200 OK", [])
        return File()
    if path == "/damaged":
        start("200 OK", [("Content-Length", size)])
        return File(fails_after=4)
    if path == "/fails":
        raise ValueError("the page is broken")
    if path == "/slow":
        time.sleep(1)
    start("200 OK", [("Content-Length", "5")])
    return [b"hello"]
