"""A proxy in front of PostgreSQL that drops the answer to a COMMIT: the server commits, the client sees no answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CommitCutter:
    """Forwards everything until `cut_after` is set to some SQL.

    The first connection that then sends this SQL and a COMMIT is dropped: the COMMIT is forwarded, but not its answer.
    `cut` counts the dropped connections.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_after = b""
        self.cut = 0

    def serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()

    def _forward(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            client.close()
            return
        lost = threading.Event()
        threading.Thread(target=self._forward_answers, args=(server, client, lost), daemon=True).start()
        self._forward_requests(client, server, lost)

    def _forward_requests(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        seen = False
        with client, server, suppress(OSError):
            while data := client.recv(1 << 16):
                seen = seen or (self.cut_after != b"" and self.cut_after in data)
                if seen and b"COMMIT" in data:
                    seen, self.cut_after = False, b""
                    lost.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _forward_answers(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if lost.is_set():
                    self.cut += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def commit_cutter(server_port: int) -> Iterator[CommitCutter]:
    """Run a proxy on a free loopback port."""
    cutter = CommitCutter(server_port)
    threading.Thread(target=cutter.serve, daemon=True).start()
    try:
        yield cutter
    finally:
        cutter.close()
