"""The mail server of a run, as a process: `python -m tests.chaos.mail PORT FOLDER`.

It writes each message to its ledger before it acknowledges it, and reads the faults to apply from `mail.json`.
"""

from __future__ import annotations

import json
import re
import sys
import time
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from tests.chaos.lines import append
from tests.support.smtp_sink import SmtpSink

LEDGER, CONTROL = "accepted-mail.log", "mail.json"
EXPORT = re.compile(r"/exports/([0-9a-f]{8}-[0-9a-f-]{27})/")


class Sink(SmtpSink):
    """SMTP sink that also logs the export that a mail is about and the mail's date."""

    @staticmethod
    def _log_message(ledger: Path, message: EmailMessage) -> None:
        written = parsedate_to_datetime(str(message["Date"])).timestamp() if message["Date"] else 0.0
        fact = {"id": str(message["Message-ID"]), "to": str(message["To"]), "export": _export(message)}
        append(ledger, fact | {"written": written})


def _export(message: EmailMessage) -> str:
    """Return the id of the export that the message links to, or ""."""
    body: Any = message.get_body(("plain",))
    found = EXPORT.search(body.get_content() if body else "")
    return found[1] if found else ""


def behave(folder: Path, **faults: Any) -> None:
    """Apply the faults (see SmtpSink) to a running server. No arguments remove all faults."""
    (folder / ".mail").write_text(json.dumps(faults))
    (folder / ".mail").rename(folder / CONTROL)


def main(port: int, folder: Path) -> None:
    sink, control = Sink(port=port, ledger=folder / LEDGER), folder / CONTROL
    while True:
        sink.misbehave(json.loads(control.read_text()) if control.exists() else {})
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
