"""A small SMTP server for tests: it speaks as much of RFC 5321 as smtplib asks for, and misbehaves on request."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class SmtpSink:
    """What the server does, and the ledger of what it accepted. Change the fields while it runs."""

    port: int = 0
    refuse_for_good: set[str] = field(default_factory=set)
    """Recipients answered with 550."""
    refuse_for_now: bool = False
    """Every recipient is answered with 451."""
    refuse_message: bool = False
    """Every message is answered with 554 after its last line."""
    hang_up_after_yes: bool = False
    """Drop the connection right after a message was accepted, in place of the answer to QUIT."""
    slow: float = 0.0
    """Seconds until a message is answered."""
    accepted: list[EmailMessage] = field(default_factory=list)
    connections: int = 0


class _Session(socketserver.StreamRequestHandler):
    """One connection. The recipients matter only for refusals."""

    server: _Server

    def handle(self) -> None:
        self.server.sink.connections += 1
        self._say("220 sink ready")
        while line := self.rfile.readline():
            if not self._answer(line.decode(errors="replace").strip()):
                return

    def _answer(self, line: str) -> bool:
        """Answer one command; False ends the connection."""
        sink = self.server.sink
        match line.partition(" ")[0].upper():
            case "EHLO" | "HELO":
                self._say("250 sink")
            case "RCPT":
                self._say(self._recipient(line.partition("<")[2].partition(">")[0]))
            case "DATA":
                self._say("354 go on")
                self._take_message()
                return not sink.hang_up_after_yes
            case "QUIT":
                self._say("221 bye")
                return False
            case _:
                self._say("250 ok")
        return True

    def _recipient(self, address: str) -> str:
        sink = self.server.sink
        if address in sink.refuse_for_good:
            return "550 no such user"
        return "451 try again later" if sink.refuse_for_now else "250 ok"

    def _take_message(self) -> None:
        sink = self.server.sink
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        time.sleep(sink.slow)
        if sink.refuse_message:
            return self._say("554 not this one")
        sink.accepted.append(message_from_bytes(b"".join(lines), policy=policy.default))
        return self._say("250 accepted")

    def _say(self, line: str) -> None:
        try:
            self.wfile.write(f"{line}\r\n".encode())
        except ConnectionError:  # the client has given up, as a slow server must expect
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink
        super().__init__(("127.0.0.1", 0), _Session)


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """A running sink on a free loopback port; stopped at the end."""
    sink = SmtpSink()
    with _Server(sink) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
