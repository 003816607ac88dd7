"""Ledgers: a line of JSON a fact, on the disk before the call returns. Many processes may write one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def append(path: Path, fact: dict[str, Any]) -> None:
    """Write one fact with the moment (`at`, seconds since 1970). One write(2), so lines never mix."""
    line = json.dumps({"at": round(time.time(), 3)} | fact, default=str) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    """The facts of a ledger, in order; a last line that was cut off is none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
