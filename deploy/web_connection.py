"""One client of the web server: bytes received and not read yet, bytes written and not sent yet, and its request."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

UNSENT = 128 * 1024
"""Bytes that the kernel keeps of them: it says soon that a slow client has taken some."""
Answering = Generator[None, None, bool]
"""An answer in the making: pauses where the client is behind; returns whether the connection stays."""


class Arrived(Unreader):  # type: ignore[misc]
    """What has arrived of a connection and was not taken yet. Reading never waits."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        return b""

    def add(self, data: bytes) -> None:
        self.buf.seek(0, 2)
        self.buf.write(data)

    def __len__(self) -> int:
        return int(self.buf.getbuffer().nbytes)

    def has_head(self, new: int) -> bool:
        """Whether the line and the headers are there; the last `new` bytes were not looked at before."""
        self.buf.seek(max(0, len(self) - new - 3))
        return b"\r\n\r\n" in self.buf.read()


class Unsent:
    """What a thread has written and the client has not taken yet; gunicorn's response takes it for a socket."""

    def __init__(self) -> None:
        self._blocks: deque[memoryview] = deque()
        self.size = 0
        self.begun = False
        """Something was written, so another status cannot be answered any more."""

    def sendall(self, data: bytes) -> None:
        if data:
            self._blocks.append(memoryview(data))
            self.size += len(data)
            self.begun = True

    def send_to(self, sock: socket.socket) -> int:
        """Send what the kernel takes without waiting; how many bytes. Raises OSError when the client is gone."""
        before = self.size
        while self._blocks:
            try:
                sent = sock.sendmsg(list(self._blocks)[:64])
            except (BlockingIOError, InterruptedError):
                break
            self.size -= sent
            while self._blocks and sent >= len(self._blocks[0]):
                sent -= len(self._blocks.popleft())
            if sent:
                self._blocks[0] = self._blocks[0][sent:]
        return before - self.size


class Connection:
    """One client. It belongs to the loop, or to one thread at a time."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # a Unix socket has neither
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self.sock, self.client, self.server = sock, client, server
        self.parser = RequestParser(cfg, [], client)
        self.parser.unreader = self.arrived = Arrived()
        self.unsent = Unsent()
        self.request: Request | None = None
        self.answering: Answering | None = None
        self.keep: bool | None = None
        """Whether the connection stays after this answer; None while the answer is in the making."""
        self.deadline = 0.0
        """When the loop closes it; it has none while a thread has it."""
        self.taken = 0
        """Bytes that the client has taken of its answer since the deadline was set."""

    @property
    def idle(self) -> bool:
        """Between two requests: nothing of the next one has arrived."""
        return self.request is None and self.answering is None and not len(self.arrived)

    def next_request(self) -> None:
        """Forget the last request, and what the application has not read of its body."""
        if self.request is not None:
            reader = self.request.body.reader
            self.arrived.read(reader.length)
            reader.length = 0
        self.request = self.answering = self.keep = None
        self.unsent.begun = False
