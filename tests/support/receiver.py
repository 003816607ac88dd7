"""A web server on loopback that receives POST requests, records them, and answers as told."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass
class Received:
    path: str
    headers: Message
    body: bytes
    peer: str


class Receiver(ThreadingHTTPServer):
    """Records each request in `received`. The attributes below set the answer of the next ones."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.names: list[str | None] = []
        """The server names (SNI) of the TLS connections."""
        self.status, self.headers, self.body = 200, dict[str, str](), b"thanks"
        self.drip = False
        """Send the headers byte by byte, forever."""
        self.closing = Event()
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: clients may go away before the end of the answer."""


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(Received(self.path, self.headers, body, self.client_address[0]))
        if self.server.drip:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.server.closing.wait(0.01):
                self.wfile.write(b"x")
            return
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver, with TLS if there is a context."""
    with Receiver() as server:
        if context is not None:
            context.sni_callback = lambda _socket, name, _context: server.names.append(name)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
