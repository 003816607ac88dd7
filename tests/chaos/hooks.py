"""The receiver of a run's webhooks, as a process: `python -m tests.chaos.hooks PORT FOLDER`.

It writes each request to its ledger before it answers, and refuses the first request of some messages.
"""

from __future__ import annotations

import json
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.chaos.lines import append
from tests.chaos.mail import EXPORT

LEDGER = "webhooks.log"
REFUSED = 10
"""One message in this many is refused once, with 503."""


class Receiver(BaseHTTPRequestHandler):
    folder: Path
    seen: set[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = self.headers["webhook-id"]
        first = message not in self.seen
        self.seen.add(message)
        refused = first and zlib.crc32(message.encode()) % REFUSED == 0
        if not refused:
            found = EXPORT.search(body["data"]["url"])
            append(self.folder / LEDGER, {"id": message, "export": found[1] if found else "", "kind": body["type"]})
        self.send_response(503 if refused else 204)
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the name in the base class
        """Print nothing."""


def main(port: int, folder: Path) -> None:
    Receiver.folder, Receiver.seen = folder, set()
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
