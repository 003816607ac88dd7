"""The form of a log line: one line an event, and nothing in it that a terminal or a reader could take for another."""

from __future__ import annotations

import logging
import re
from types import TracebackType

UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab, line and paragraph separators, what changes the direction of text, lone surrogates."""
INDENT = "    "


def escaped(text: str) -> str:
    r"""Return `text` with each unsafe character as Python writes it in a literal: \n, \x1b, \u202e."""
    return text if text.isprintable() else UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class LineFormatter(logging.Formatter):
    """A formatter whose records begin at the first column and are one line; tracebacks follow it, indented.

    What people send stands in many messages: an address, a name, an error's text. None of it can start a line that
    looks like a record, or reach the terminal as a command.
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
