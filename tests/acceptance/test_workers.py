"""Workers that come and go: the windows follow them. Uses real workers of one site."""

from __future__ import annotations

import json

import pytest

from deploy.processes import Program, worker
from tests.acceptance.conftest import Start
from tests.support.stack import Stack, wait_until

BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"])
SIZES = "from exports.pipeline.window import sizes; import json; print(json.dumps(sizes()))"
SOON = 10
"""Seconds within which a new worker must be used."""
LAPSES = 10
"""Seconds of the tests' leases, and some to spare."""


def parts(stack: Stack) -> int:
    """Return the size of the window of parts, as any process of the site sees it."""
    return int(json.loads(stack.shell(SIZES))[0])


def other_machine(stack: Stack) -> Program:
    """Return one more worker that renders, under another name."""
    program = worker("bulk", stack.var_dir / "other", stack.port)
    return Program("other", program.command, program.environment)


@BOTH
def test_a_new_worker_is_used_and_a_lost_one_is_not(start: Start, database: str) -> None:
    stack = start(database=database)
    wait_until(lambda: parts(stack) == 3, SOON, what="the first worker")
    stack.programs["other"] = other_machine(stack)
    stack.start("other")
    wait_until(lambda: parts(stack) == 5, SOON + 10, what="the second worker")  # it takes seconds to start
    stack.kill("other")
    wait_until(lambda: parts(stack) == 3, LAPSES, what="the end of the killed worker's lease")
    stack.start("other")
    wait_until(lambda: parts(stack) == 5, SOON + 10, what="the restarted worker")
    stack.stop("other")
    assert parts(stack) == 3
