"""A shell inside a running site that stays open: what `Stack.shell` prints, without the two seconds of a start each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.steps import ROOT, TETHERED
from tests.support.stack import Stack

LOOP = """
import contextlib, io, json, sys, traceback
from django.db import connections
for line in sys.stdin:
    printed, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            exec(json.loads(line))
    except Exception:
        error = traceback.format_exc()
    connections.close_all()  # the next question may come after a restart of the server
    print(json.dumps([printed.getvalue().strip(), error]), flush=True)
"""


class Console:
    """Runs code as `manage.py shell` does, with its imports; names stay from one run to the next."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, code: str) -> str:
        """What `code` prints. Raises AssertionError with the traceback of what it raises."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        printed, error = json.loads(self._process.stdout.readline())
        assert not error, error
        return str(printed)


@contextmanager
def console(stack: Stack) -> Iterator[Console]:
    """A console of this site, ended at the end."""
    with (stack.folder / "console.log").open("ab") as log:
        process = subprocess.Popen(
            [*TETHERED, sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", LOOP],
            cwd=ROOT, env=stack.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        yield Console(process)
    finally:
        process.kill()
        process.communicate()
