"""Run a process with a wrong clock: `python -m tests.support.skewed 3600 celery -A config.celery beat`.

All of Python's clocks in it are ahead by the given number of seconds: time.time (kombu's timeouts), Django's
timezone.now, Celery's and Beat's own. The database, on another machine, has the right time.
"""

from __future__ import annotations

import runpy
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.processes import Program


def skewed(program: Program, seconds: float) -> Program:
    """Return the same program, run with a clock that is `seconds` ahead."""
    place = program.command.index("-m") + 1
    command = [*program.command[:place], __name__, str(seconds), *program.command[place:]]
    return replace(program, command=command)


def skew(seconds: float) -> None:
    """Set this process's clock ahead. Call it before other imports, which could keep references to the right clock."""
    right = time.time
    time.time = lambda: right() + seconds

    import django
    from celery import Celery
    from django.utils import timezone

    _put_ahead(timezone, "now", seconds)
    _put_ahead(Celery, "now", seconds)
    django.setup()
    from django_celery_beat.schedulers import ModelEntry

    _put_ahead(ModelEntry, "_default_now", seconds)


def _put_ahead(owner: Any, name: str, seconds: float) -> None:
    right = getattr(owner, name)

    def ahead(*args: Any) -> datetime:
        moment: datetime = right(*args)
        return moment + timedelta(seconds=seconds)

    setattr(owner, name, ahead)


if __name__ == "__main__":
    _, ahead, *command = sys.argv
    skew(float(ahead))
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
