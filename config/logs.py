"""Format log records: one line for each event, without characters that could forge a line or control a terminal.

LOG_FORMAT chooses between text and JSON.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

from celery import current_task

from durable import log_fields

UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab, line and paragraph separators, direction marks, and lone surrogates."""
INDENT = "    "


def escaped(text: str) -> str:
    r"""Return `text` with each unsafe character as Python writes it in a literal: \n, \x1b, \u202e."""
    return text if text.isprintable() else UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class LineFormatter(logging.Formatter):
    """A formatter that writes each record on one line; tracebacks follow, indented.

    Messages contain user input: addresses, names, texts of errors. Escaping keeps it from starting a line that looks
    like a record, and from reaching the terminal as a control sequence.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return escaped(super().formatMessage(record))

    def formatException(  # noqa: N802 - logging's own name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's own name
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(INDENT + escaped(line) for line in text.splitlines())


def as_line(fields: Mapping[str, object]) -> str:
    """Return a JSON object in printable ASCII, so that no control character is left in it."""
    return json.dumps(fields).replace("\x7f", "\\u007f")


class JsonFormatter(logging.Formatter):
    """A formatter that writes each record as one JSON object on one line.

    Its keys are `time` (ISO 8601, UTC), `level`, `logger`, `message`, `process` and `pid`; where there is one,
    `traceback`, and the `task` and `task_id` of Celery; and the fields of durable/log_fields.py, such as `export`.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": self._process,
            "pid": record.process,
        }
        if current_task:  # false outside of a task
            fields |= {"task": current_task.name, "task_id": current_task.request.id}
        fields |= log_fields.current()
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return as_line(fields)
