"""Users of a run's site and names of its ledgers. Imports no Django, because the run itself does not set it up."""

from __future__ import annotations

import os
from pathlib import Path

PASSWORD = "demo"
FILE_SINK, SLOTS, JOBS = "file-sink.log", "slots.log", "jobs.log"
TICK = "tests.chaos.tasks.tick"


def home() -> Path:
    """Return the folder of the run that this site process belongs to."""
    return Path(os.environ["CHAOS_FOLDER"])


def email(owner: int) -> str:
    """Return an owner's e-mail address, which is also the user name."""
    return f"chaos-{owner:02d}@example.com"
