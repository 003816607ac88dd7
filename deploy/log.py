"""Merge the output of many processes into one log: every line has a time, a level and a process name."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import selectors
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.logs import as_line, escaped
from deploy.steps import say

FILE_BYTES, FILE_COUNT = 10_000_000, 3
CONTINUES_SECONDS = 0.2
OWN_FORM = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
"""Start of a line in the format of our own processes (LOGGING in config/settings.py)."""
OWN_JSON = re.compile(r'\{"time": "[^"]+", "level": "(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)", [ -~]*\}$')
"""A line of our own processes with LOG_FORMAT=json."""
SUPERVISOR_FORM = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<level>CRIT|ERRO|WARN|INFO|DEBG) (?P<text>.*)"
)
LEVELS = {"CRIT": "CRITICAL", "ERRO": "ERROR", "WARN": "WARNING", "INFO": "INFO", "DEBG": "DEBUG"}


@dataclass
class Source:
    """Output of one process: its name, its incomplete last line, and level and time of its last complete line."""

    name: str
    rest: bytes = b""
    level: str = "INFO"
    when: float = 0.0

    def inherited(self) -> str:
        """Return the level of a line that has none: the previous one if it follows at once (a traceback), or INFO."""
        return self.level if time.monotonic() - self.when < CONTINUES_SECONDS else "INFO"

    def update(self, level: str) -> str:
        self.level, self.when = level, time.monotonic()
        return level


class MergedLog:
    """Reads a pipe from each process, and writes complete lines to a rotated file. Set `terminal` to print them too."""

    def __init__(self, path: Path, *, as_json: bool = False) -> None:
        self.path = path
        self._formed = formed_as_json if as_json else formed
        self.terminal = False
        self.last: deque[str] = deque(maxlen=400)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _RotatedFile(path, maxBytes=FILE_BYTES, backupCount=FILE_COUNT, encoding="utf-8")
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._read, name="log", daemon=True)

    def source(self, name: str) -> int:
        """Open a pipe for one process. Return its write end; the caller closes it when the process has started."""
        read_end, write_end = os.pipe()
        self._selector.register(read_end, selectors.EVENT_READ, Source(name))
        return write_end

    def start(self) -> None:
        self._thread.start()

    def finish(self, seconds: float = 5) -> None:
        """Wait until all writers have closed their ends and every line is written, at most `seconds`."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def tail(self, count: int) -> list[str]:
        return list(self.last)[-count:]

    def _read(self) -> None:
        while self._selector.get_map():
            for key, _ in self._selector.select(1):
                if not (chunk := os.read(key.fd, 65536)):
                    self._selector.unregister(key.fd)
                    os.close(key.fd)
                self._take(key.data, chunk)

    def _take(self, source: Source, chunk: bytes) -> None:
        *lines, source.rest = (source.rest + chunk).split(b"\n")
        if not chunk and source.rest:
            lines, source.rest = [source.rest], b""
        for line in lines:
            if text := line.decode(errors="replace").rstrip():
                self._write(self._formed(source, text))

    def _write(self, line: str) -> None:
        self.last.append(line)
        if self.terminal:
            say(line)
        self._file.handle(logging.LogRecord("", logging.INFO, "", 0, line, None, None))


class _RotatedFile(logging.handlers.RotatingFileHandler):
    """Ignores write errors: on a full disk the terminal still gets its lines, and the pipes are still read."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  name of the method in logging
        pass


def formed(source: Source, text: str) -> str:
    """Return a line for the log: unchanged if it is in our format, else with time, level and process name.

    Control characters are escaped here too, because a program may print without using our logging.
    """
    text = escaped(text)
    if source.name == "supervisor" and (theirs := SUPERVISOR_FORM.match(text)):
        return f"{theirs['time']} {LEVELS[theirs['level']]:<7} {source.name:<11} {theirs['text']}"
    if ours := OWN_FORM.match(text):
        source.update(ours["level"])
        return text
    level = source.update(_level(source, text))
    now = datetime.now().astimezone().replace(tzinfo=None).isoformat(" ", "milliseconds").replace(".", ",")
    return f"{now} {level:<7} {source.name:<11} {text}"


def formed_as_json(source: Source, text: str) -> str:
    """Return a line as a JSON object: unchanged if it is one of ours, else with time, level and process name."""
    if ours := OWN_JSON.match(text):
        source.update(ours["level"])
        return text
    if source.name == "supervisor" and (theirs := SUPERVISOR_FORM.match(text)):
        level, text = LEVELS[theirs["level"]], theirs["text"]
    else:
        level = source.update(_level(source, text))
    time_ = datetime.now(UTC).isoformat(timespec="milliseconds")
    return as_line({"time": time_, "level": level, "message": text, "process": source.name})


def _level(source: Source, text: str) -> str:
    return "ERROR" if text.startswith("Traceback (most recent call last)") else source.inherited()
