"""A proxy before PostgreSQL that can lose the answer to one COMMIT: the server has it, the client never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CommitCutter:
    """Passes everything on, until `cut_after` names some SQL.

    The first connection that has sent it since then and sends COMMIT has it passed on and is dropped when the server
    has answered. `cut` counts them.
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
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who waits in accept
        self._listener.close()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            client.close()
            return
        lost = threading.Event()
        threading.Thread(target=self._answers, args=(server, client, lost), daemon=True).start()
        self._requests(client, server, lost)

    def _requests(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        seen = False
        with client, server, suppress(OSError):
            while data := client.recv(1 << 16):
                seen = seen or (self.cut_after != b"" and self.cut_after in data)
                if seen and b"COMMIT" in data:
                    seen, self.cut_after = False, b""
                    lost.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if lost.is_set():
                    self.cut += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def commit_cutter(server_port: int) -> Iterator[CommitCutter]:
    """A running proxy on a free loopback port."""
    cutter = CommitCutter(server_port)
    threading.Thread(target=cutter.serve, daemon=True).start()
    try:
        yield cutter
    finally:
        cutter.close()
