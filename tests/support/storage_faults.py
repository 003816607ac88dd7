"""Switches for the stores of tests/support/storages.py. It does not need Django, because tests/chaos has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def arm(file: Path, **fault: Any) -> None:
    """Enable a fault in every process that reads this file."""
    counter(file).unlink(missing_ok=True)
    fresh = file.with_suffix(".fresh")
    fresh.write_text(json.dumps(fault))
    fresh.replace(file)


def heal(file: Path) -> None:
    file.unlink(missing_ok=True)


def happened(file: Path) -> int:
    """Return how often the fault has happened since it was armed."""
    return counter(file).stat().st_size if counter(file).exists() else 0


def counter(file: Path) -> Path:
    """Return the file that counts the fault, one byte for each time."""
    return Path(f"{file}.count")
