"""What this process is working on, for its log lines: the id of an export, for example.

A claim sets the fields, and the end of a Celery task or of a request clears them. Add the filter `LogFields` to a
handler of your LOGGING to get them as attributes of each record.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

_fields: ContextVar[Mapping[str, str] | None] = ContextVar("log_fields", default=None)


def put(fields: Mapping[str, str]) -> None:
    """Set the fields of the log lines that follow in this thread or coroutine. They replace the earlier ones."""
    _fields.set(fields)


def clear(**_: Any) -> None:
    """Remove the fields. It is a receiver of the signals of Celery and Django at the end of a task or a request."""
    _fields.set(None)


def current() -> Mapping[str, str]:
    return _fields.get() or {}


class LogFields(logging.Filter):
    """Adds the fields to each record: `%(export)s` in a format, or a key in the output of a JSON formatter.

    A format needs a default for lines without the field: `"defaults": {"export": "-"}` in the formatter.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(current())
        return True
