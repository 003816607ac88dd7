"""An SMTP server for tests, with the subset of RFC 5321 that smtplib uses and with configurable faults.

In the test's process: `with smtp_sink() as sink: sink.slow = 3`. As a separate process that survives killed workers:
`python -m tests.support.smtp_sink --port 2525 --ledger FILE --control FILE`. Each accepted mail is a line of JSON in
the ledger, written before the server acknowledges it: {"at", "message_id", "to", "subject"}. The control file is a JSON
object of faults by name ({"slow": 3}; {} or a missing file means no faults), read ten times a second; "down": true
closes the port. To replace it, rename a new file over it.
"""

from __future__ import annotations

import argparse
import json
import os
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any


@dataclass
class Faults:
    """Faults of the server."""

    refuse_for_good: set[str] = field(default_factory=set)
    """Recipients answered with 550."""
    refuse_for_now: bool = False
    """Every recipient is answered with 451."""
    refuse_message: bool = False
    """Every message is answered with 554 after its last line."""
    hang_up_after_yes: bool = False
    """Close the connection after accepting a message, instead of answering QUIT."""
    slow: float = 0.0
    """Seconds before a message is answered."""
    silent: bool = False
    """Accept connections and send nothing, not even a greeting."""


@dataclass
class SmtpSink(Faults):
    """The server and its accepted mails. The faults can be changed while it runs."""

    port: int = 0
    ledger: Path | None = None
    """File of the ledger, if any."""
    accepted: list[EmailMessage] = field(default_factory=list)
    connections: int = 0
    _server: _Server | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def listen(self) -> None:
        """Open the port, the same one as before if it was open."""
        if self._server is None:
            self._server = _Server(self, self.port)
            self.port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Close the port: new connections are refused, open sessions continue."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def accept(self, message: EmailMessage) -> None:
        with self._writing:
            self.accepted.append(message)
            if self.ledger is not None:
                self._log_message(self.ledger, message)

    @staticmethod
    def _log_message(ledger: Path, message: EmailMessage) -> None:
        mail = {"message_id": message["Message-ID"], "to": message["To"], "subject": message["Subject"]}
        with ledger.open("a") as file:
            file.write(json.dumps({"at": time.time()} | {name: str(value) for name, value in mail.items()}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def message_ids(self) -> list[str]:
        """Return the Message-IDs of all accepted mails, in order."""
        return [str(message["Message-ID"]) for message in self.accepted]

    def misbehave(self, faults: dict[str, Any]) -> None:
        """Apply the faults of a control file. Faults that it omits get their defaults."""
        defaults = Faults()
        for fault in fields(Faults):
            setattr(self, fault.name, faults.get(fault.name, getattr(defaults, fault.name)))
        self.close() if faults.get("down") else self.listen()


class _Session(socketserver.StreamRequestHandler):
    """One connection. Recipients are only checked against the refused ones."""

    server: _Server

    def handle(self) -> None:
        self.server.sink.connections += 1
        while self.server.sink.silent:
            time.sleep(0.05)
        self._say("220 sink ready")
        try:
            while line := self.rfile.readline():
                if not self._answer(line.decode(errors="replace").strip()):
                    return
        except ConnectionError:  # the client was killed
            return

    def _answer(self, line: str) -> bool:
        """Answer one command. Return False to end the connection."""
        sink = self.server.sink
        match line.partition(" ")[0].upper():
            case "EHLO" | "HELO":
                self._say("250 sink")
            case "RCPT":
                self._say(self._recipient(line.partition("<")[2].partition(">")[0]))
            case "DATA":
                self._say("354 go on")
                return self._take_message() and not sink.hang_up_after_yes
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

    def _take_message(self) -> bool:
        """Read and answer a message. Return False, without accepting it, if the connection ended first."""
        sink = self.server.sink
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        time.sleep(sink.slow)
        if sink.refuse_message:
            self._say("554 not this one")
        else:
            sink.accept(message_from_bytes(b"".join(lines), policy=policy.default))
            self._say("250 accepted")
        return True

    def _say(self, line: str) -> None:
        try:
            self.wfile.write(f"{line}\r\n".encode())
        except ConnectionError:  # the client has given up
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, sink: SmtpSink, port: int) -> None:
        self.sink = sink
        super().__init__(("127.0.0.1", port), _Session)


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """Yield a running sink on a free loopback port, and close it afterwards."""
    sink = SmtpSink()
    sink.listen()
    try:
        yield sink
    finally:
        sink.close()


def main() -> None:
    options = argparse.ArgumentParser(description="SMTP server for tests, with a ledger and configurable faults.")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--ledger", type=Path, required=True)
    options.add_argument("--control", type=Path, required=True)
    given = options.parse_args()
    sink = SmtpSink(port=given.port, ledger=given.ledger)
    while True:
        sink.misbehave(_read_faults(given.control))
        time.sleep(0.1)


def _read_faults(control: Path) -> dict[str, Any]:
    try:
        faults: dict[str, Any] = json.loads(control.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return faults


if __name__ == "__main__":
    main()
