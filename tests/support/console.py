"""A persistent shell inside a running site: like `Stack.shell`, without the two seconds of each start."""

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
    connections.close_all()  # the database server may restart before the next line
    print(json.dumps([printed.getvalue().strip(), error]), flush=True)
"""


class Console:
    """Run code as `manage.py shell` does, with its automatic imports. Names persist between runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, code: str) -> str:
        """Run `code` and return its output. Raises AssertionError with the traceback if the code raises."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        printed, error = json.loads(self._process.stdout.readline())
        assert not error, error
        return str(printed)


@contextmanager
def console(stack: Stack) -> Iterator[Console]:
    """Yield a console of this site, and end it afterwards."""
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
