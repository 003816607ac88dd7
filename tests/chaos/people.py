"""Who uses the site of a run, and where what it says is written down. No Django: the run itself has none."""

from __future__ import annotations

import os
from pathlib import Path

PASSWORD = "demo"
FILE_SINK, SLOTS = "file-sink.log", "slots.log"
TICK = "tests.chaos.tasks.tick"


def home() -> Path:
    """The folder of the run that this process of a site belongs to."""
    return Path(os.environ["CHAOS_FOLDER"])


def email(owner: int) -> str:
    """The name by which an owner signs in."""
    return f"chaos-{owner:02d}@example.com"
