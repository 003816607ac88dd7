"""The log of real processes: whatever a request or a message says, each line is one record of ours."""

from __future__ import annotations

import re
import socket

from tests.acceptance.conftest import Start
from tests.support.stack import Stack, wait_until

RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) +")
FORGED = "2026-11-26 10:00:00,000 ERROR   web         django: all is lost"
QUOTED = FORGED.replace(" ", "%20")
ENDS = ("%0a", "%0d", "%0d%0a", "%c2%85", "%e2%80%a8", "%e2%80%a9")
FAILS = """
from config.celery import app
app.send_task("exports.tasks.run_slot", args=["no number\\n{forged}\\x1b[31m"], queue="high")
app.send_task("there.is.no\\n{forged}\\x1b[31m", queue="high")
"""


def get(stack: Stack, target: str) -> None:
    """A request as no client library would write it."""
    with socket.create_connection(("127.0.0.1", stack.port), 10) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        while client.recv(65536):
            pass


def test_no_request_and_no_message_writes_a_line_of_its_own(start: Start) -> None:
    stack = start("web", "worker-high", seed=False)
    for number, end in enumerate(ENDS):
        get(stack, f"/x{number}{end}{QUOTED}")
    get(stack, "/red%1b%5b31m%7f%c2%9b31m%e2%80%ae")
    stack.shell(FAILS.format(forged=FORGED))
    web, worker = stack.folder / "web.log", stack.folder / "worker-high.log"
    # Both the web server's own line and Django's name each request.
    wait_until(lambda: web.read_text().count("/red") >= 2, what="the lines of the last request")
    wait_until(lambda: worker.read_text().count("all is lost") >= 2, what="the lines of both messages")

    for log in (web, worker):
        text = log.read_text()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)
        for line in text.split("\n"):
            assert not line.startswith("2026-11-26 10:00"), f"a forged line in {log.name}: {line}"
            assert not RECORD.match(line) or "all is lost" not in line or "\\" in line, line
