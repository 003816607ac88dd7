"""Tests against log injection: a request or a message cannot forge lines in the logs of real processes."""

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
    """Send a request with a target that a client library would refuse, and read the response."""
    with socket.create_connection(("127.0.0.1", stack.port), 10) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        while client.recv(65536):
            pass


def test_requests_and_messages_cannot_forge_log_lines(start: Start) -> None:
    stack = start("web", "worker-high", seed=False)
    for number, end in enumerate(ENDS):
        get(stack, f"/x{number}{end}{QUOTED}")
    get(stack, "/red%1b%5b31m%7f%c2%9b31m%e2%80%ae")
    stack.shell(FAILS.format(forged=FORGED))
    web, worker = stack.folder / "web.log", stack.folder / "worker-high.log"
    # The web server and Django each log a line per request.
    wait_until(lambda: web.read_text().count("/red") >= 2, what="the lines of the last request")
    wait_until(lambda: worker.read_text().count("all is lost") >= 2, what="the lines of both messages")

    for log in (web, worker):
        text = log.read_text()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)
        for line in text.split("\n"):
            assert not line.startswith("2026-11-26 10:00"), f"a forged line in {log.name}: {line}"
            assert not RECORD.match(line) or "all is lost" not in line or "\\" in line, line
