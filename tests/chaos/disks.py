"""The switch of tests/support/storages.py, for a program without Django: the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def arm(file: Path, **fault: Any) -> None:
    """Make it happen from now on, in every process that reads this file."""
    _count(file).unlink(missing_ok=True)
    fresh = file.with_suffix(".fresh")
    fresh.write_text(json.dumps(fault))
    fresh.replace(file)


def heal(file: Path) -> None:
    file.unlink(missing_ok=True)


def happened(file: Path) -> int:
    """How often it has happened since it was armed."""
    return _count(file).stat().st_size if _count(file).exists() else 0


def _count(file: Path) -> Path:
    return Path(f"{file}.count")
