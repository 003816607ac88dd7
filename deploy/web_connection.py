"""A client connection of the web worker: input buffer, output buffer and current request."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

UNSENT_BYTES = 128 * 1024
"""TCP_NOTSENT_LOWAT. It is small, so that the socket is soon writable again after a slow client has read some bytes."""
ResponseGenerator = Generator[None, None, bool]
"""Writes a response, and yields while the client is behind. Returns whether the connection stays open."""


class InputBuffer(Unreader):  # type: ignore[misc]
    """Received bytes that the parser has not read yet. Reading never blocks."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        return b""

    def add(self, data: bytes) -> None:
        self.buf.seek(0, 2)
        self.buf.write(data)

    def __len__(self) -> int:
        return int(self.buf.getbuffer().nbytes)

    def has_head(self, new: int) -> bool:
        """Return whether the request line and headers are complete. Only the last `new` bytes are unchecked."""
        self.buf.seek(max(0, len(self) - new - 3))
        return b"\r\n\r\n" in self.buf.read()


class OutputBuffer:
    """Bytes that a thread has written and the kernel has not accepted yet. It is the socket of gunicorn's Response."""

    def __init__(self) -> None:
        self._blocks: deque[memoryview] = deque()
        self.size = 0
        self.started = False
        """The response has begun, so its status can no longer change."""

    def sendall(self, data: bytes) -> None:
        if data:
            self._blocks.append(memoryview(data))
            self.size += len(data)
            self.started = True

    def send_to(self, sock: socket.socket) -> int:
        """Send what the kernel accepts without blocking. Return the number of bytes. Raise OSError."""
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
    """The state of one client connection. Either the loop or one thread uses it at a time."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # Unix sockets have neither option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self.sock, self.client, self.server = sock, client, server
        self.parser = RequestParser(cfg, [], client)
        self.parser.unreader = self.input = InputBuffer()
        self.output = OutputBuffer()
        self.request: Request | None = None
        self.generator: ResponseGenerator | None = None
        self.keep_open: bool | None = None
        """Whether the connection stays open after this response; None until the response is complete."""
        self.deadline = 0.0
        """Monotonic time at which the loop closes the connection. Unused while a thread has the connection."""
        self.sent = 0
        """Bytes of the response sent since the deadline was set."""

    @property
    def idle(self) -> bool:
        """Between two requests: no byte of the next one has arrived."""
        return self.request is None and self.generator is None and not len(self.input)

    def next_request(self) -> None:
        """Discard the last request, and the part of its body that the application did not read."""
        if self.request is not None:
            reader = self.request.body.reader
            self.input.read(reader.length)
            reader.length = 0
        self.request = self.generator = self.keep_open = None
        self.output.started = False
