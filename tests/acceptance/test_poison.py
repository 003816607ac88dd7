"""Poison parts, which kill or block their worker: they fail soon and with a reason, and other exports continue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.memory import memory_group
from tests.support.sql import select
from tests.support.stack import ENTERPRISE, SMALL, STAFF, Stack, running, wait_until

ATTEMPTS = 2
TIME_LIMITS = "5 6"
"""Soft and hard time limits of tasks, in seconds."""
ENDS = {
    "crash": "worker_died",
    "hog": "worker_died",
    "hang": "worker_died",
    "crash_at_first": "worker_died",
    "run_out": "no_memory",
}
"""Column -> error code of its export."""
SECONDS = 90
"""Timeout of each export. A death costs a sweep (1 s here, 5 s in production), a blocked task its time limit."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A site with the poison dataset."""
    with memory_group() as group:
        environment: dict[str, Any] = {
            "POISON": "1",
            "MEMORY_GROUP": group,
            "TIME_LIMITS": TIME_LIMITS,
            "ROWS_PER_PART": "3000",
            "MAX_ATTEMPTS": str(ATTEMPTS),
            "BACKOFF_FIRST": "0.2",
        }
        with running(tmp_path_factory.mktemp("poison"), **environment) as site:
            yield site


@pytest.fixture(scope="module")
def poisoned(stack: Stack) -> dict[str, str]:
    """Column -> its export, after other exports have become ready and no main process has ended."""
    pids = {name: process.pid for name, process in stack.processes.items()}
    person, other = stack.signed_in(ENTERPRISE), stack.signed_in(SMALL)
    # Planning reads rows for XLSX, to determine column widths, but not for CSV.
    formats = {column: "xlsx" if column == "crash_at_first" else "csv" for column in ENDS}
    exports = {
        column: person.export(dataset="poison", format=formats[column], fields=column, fields_of="poison")
        for column in ENDS
    }
    healthy = [(person, person.export(format="csv", period="last-month")), (other, other.export(format="csv"))]
    for owner, export in healthy:
        assert owner.await_end(export, SECONDS)["state"] == "ready"
    for export in exports.values():
        person.await_end(export, SECONDS)
    assert pids == {name: process.pid for name, process in stack.processes.items() if process.poll() is None}
    return exports


@pytest.mark.parametrize("column", ENDS)
def test_owner_and_staff_see_the_reason(stack: Stack, poisoned: dict[str, str], column: str) -> None:
    export, person = poisoned[column], stack.signed_in()
    seen = person.look(export)
    assert (seen["state"], seen["error"]["code"]) == ("failed", ENDS[column])
    page = person.browser.get(f"/exports/{export}/").text
    assert seen["error"]["message"] in page
    assert f'id="retry-{export}"' in page
    staff = stack.signed_in(STAFF).browser
    assert ENDS[column] in staff.get(f"/admin/exports/export/?q={export}").text


@pytest.mark.parametrize("column", ENDS)
def test_the_owner_is_notified_once(stack: Stack, poisoned: dict[str, str], column: str) -> None:
    keys = "SELECT dedupe_key FROM notifications_notification WHERE kind = 'export_failed'"
    export = poisoned[column]

    def notifications() -> int:
        return sum(export in key for (key,) in select(stack, keys))

    wait_until(notifications, what="the owner's notification")
    assert notifications() == 1


@pytest.mark.parametrize("column", [column for column in ENDS if column != "crash_at_first"])
def test_only_the_poison_part_exhausts_its_attempts(stack: Stack, poisoned: dict[str, str], column: str) -> None:
    parts = select(
        stack,
        'SELECT p."index", p.state, p.attempt FROM exports_part p JOIN exports_export e ON e.id = p.export_id'
        " WHERE replace(e.uuid, '-', '') = ?",
        poisoned[column].replace("-", ""),
    )
    assert [part for part in parts if part[1] == "failed"] == [(1, "failed", ATTEMPTS)]
    assert {state for _, state, _ in parts} <= {"failed", "done", "cancelled"}


def test_planning_that_kills_its_worker_exhausts_its_attempts(stack: Stack, poisoned: dict[str, str]) -> None:
    attempts = "SELECT attempt, attempt_limit FROM exports_export WHERE replace(uuid, '-', '') = ?"
    assert select(stack, attempts, poisoned["crash_at_first"].replace("-", "")) == [(ATTEMPTS, ATTEMPTS)]
