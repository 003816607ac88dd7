"""Ledgers: files with one line of JSON per fact, synced to disk on each write. Several processes may share one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def append(path: Path, fact: dict[str, Any]) -> None:
    """Append one fact with the time (`at`, seconds since 1970), in one write(2) so that lines never mix."""
    line = json.dumps({"at": round(time.time(), 3)} | fact, default=str) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the facts of a ledger in order, without an incomplete last line."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
