"""Tests of log lines: one line per event, with control characters escaped."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest

from config.logs import JsonFormatter, LineFormatter
from deploy.log import Source, formed, formed_as_json

FORGED = "2026-11-26 10:00:00,000 ERROR web django: all is lost"


def line(message: str, *args: object, error: Exception | None = None) -> str:
    record = logging.LogRecord("django.request", logging.WARNING, "", 0, message, args, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s").format(record)


@pytest.mark.parametrize(
    "end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_line_breaks_in_a_message_are_escaped(end: str) -> None:
    written = line("Not Found: %s", f"/x{end}{FORGED}")
    assert len(written.splitlines()) == 1
    assert FORGED in written


@pytest.mark.parametrize(
    "code", [*range(9), *range(10, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
def test_control_characters_are_escaped(code: int) -> None:
    written = line("Not Found: %s", f"/{chr(code)}[31m")
    assert chr(code) not in written
    assert ascii(chr(code))[1:-1] in written


def test_other_text_is_unchanged() -> None:
    assert line("Not Found: %s", "/Straße/東京/\t👍").endswith("Not Found: /Straße/東京/\t👍")


def test_a_lone_surrogate_can_be_written() -> None:
    assert line("%s", "\ud800").encode().endswith(b"\\ud800")


def test_lines_of_a_traceback_are_indented_and_cannot_look_like_records() -> None:
    try:
        raise ValueError(f"no such thing: \n{FORGED}\x1b[31m")
    except ValueError as error:
        first, *rest = line("It failed.", error=error).splitlines()
    assert first.endswith("It failed.")
    assert len(rest) >= 3
    assert all(each.startswith("    ") for each in rest)
    assert "\x1b" not in "".join(rest)


@pytest.mark.parametrize("name", ["web", "supervisor"])
def test_control_characters_in_program_output_are_escaped(name: str) -> None:
    written = formed(Source(name), f"\x1b[31mred\r{FORGED}\x85\u202e")
    assert len(written.splitlines()) == 1
    assert not {"\x1b", "\r", "\u202e"} & set(written)
    assert written.endswith("\\x1b[31mred\\r" + FORGED + "\\x85\\u202e")


def test_a_line_in_the_log_format_is_unchanged() -> None:
    assert formed(Source("web"), "2026-11-26 10:00:00,000 WARNING web         django: Straße\t1") == (
        "2026-11-26 10:00:00,000 WARNING web         django: Straße\t1"
    )


# --- JSON -----------------------------------------------------------------------------------------------------------


def as_json(message: str, *args: object, error: Exception | None = None) -> dict[str, Any]:
    record = logging.LogRecord("django.request", logging.WARNING, "", 0, message, args, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    written = JsonFormatter("web").format(record)
    assert all(" " <= character <= "~" for character in written)
    fields: dict[str, Any] = json.loads(written)
    return fields


def test_a_record_is_one_json_object() -> None:
    fields = as_json("Not Found: %s", "/Straße/\n\x1b[31m\x7f\u2028\ud800")
    assert fields["message"] == "Not Found: /Straße/\n\x1b[31m\x7f\u2028\ud800"
    assert (fields["level"], fields["logger"], fields["process"]) == ("WARNING", "django.request", "web")
    moment = datetime.fromisoformat(fields["time"])
    assert moment.utcoffset() == timedelta()
    assert fields.keys() == {"time", "level", "logger", "message", "process", "pid"}


def test_a_traceback_is_a_field() -> None:
    try:
        raise ValueError(f"no such thing\n{FORGED}")
    except ValueError as error:
        fields = as_json("It failed.", error=error)
    assert "Traceback (most recent call last)" in fields["traceback"]
    assert FORGED in fields["traceback"]


def test_our_json_is_unchanged_in_the_merged_log() -> None:
    source = Source("web")
    written = JsonFormatter("web").format(logging.LogRecord("x", logging.ERROR, "", 0, "\x7f", None, None))
    assert formed_as_json(source, written) == written
    assert source.level == "ERROR"


@pytest.mark.parametrize(
    ("name", "text", "level", "message"),
    [
        ("redis", "Ready to accept connections", "INFO", "Ready to accept connections"),
        ("web", "Traceback (most recent call last):", "ERROR", "Traceback (most recent call last):"),
        ("web", '{"time": "now", "level": "INFO", \x1b}', "INFO", '{"time": "now", "level": "INFO", \x1b}'),
        ("supervisor", "2026-11-26 10:00:00,000 CRIT no more", "CRITICAL", "no more"),
    ],
)
def test_other_output_becomes_json_in_the_merged_log(name: str, text: str, level: str, message: str) -> None:
    fields = json.loads(formed_as_json(Source(name), text))
    assert (fields["level"], fields["message"], fields["process"]) == (level, message, name)
