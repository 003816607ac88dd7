"""Format log records: one line for each event, without characters that could forge a line or control a terminal."""

from __future__ import annotations

import logging
import re
from types import TracebackType

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
