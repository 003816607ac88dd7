"""Accepted exports reach a final state although processes die. Uses real processes, Redis and databases."""

from __future__ import annotations

import hashlib

import pytest

from tests.acceptance.conftest import Start
from tests.support.sql import select
from tests.support.stack import Person, Stack, wait_until

BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"])
ORDERS = 160_000


def assert_whole(person: Person, export: str, rows: int) -> None:
    """Wait until the export is READY, and assert its number of rows and its recorded SHA-256."""
    seen = person.await_end(export, 90)
    assert seen["state"] == "ready", seen["error"]
    body = person.download(export)
    assert hashlib.sha256(body).hexdigest() == seen["sha256"]
    assert seen["rows_total"] == rows


def await_rendering(person: Person, export: str, started: bool = False) -> None:
    """Wait until the export is planned, or with `started` until a worker has rendered some rows."""

    def reached() -> bool:
        seen = person.look(export)
        return bool(seen["rows_done"] if started else seen["state"] == "rendering")

    wait_until(reached, what=f"the rendering of {export}")


def notifications(stack: Stack, kind: str) -> int:
    code = f"print(Notification.objects.filter(kind={kind!r}).count())"
    return int(stack.shell(code))


@BOTH
def test_a_worker_killed_while_it_renders(start: Start, database: str) -> None:
    stack = start(database=database)
    person = stack.signed_in()
    export = person.export(format="pdf")

    wait_until(lambda: 0 < person.look(export)["rows_done"] < ORDERS, what="the middle of the export")
    stack.kill("worker-bulk")
    assert person.look(export)["state"] == "rendering"
    stack.start("worker-bulk")

    assert_whole(person, export, ORDERS)
    assert notifications(stack, "export_ready") == 1


def test_a_small_export_does_not_wait_for_large_ones(start: Start) -> None:
    stack = start("worker-high", "web")
    big, small = stack.signed_in("enterprise@example.com"), stack.signed_in("small@example.com")
    waiting = big.export(format="csv")
    await_rendering(big, waiting)
    assert_whole(small, small.export(format="csv"), 50)
    assert big.look(waiting)["rows_done"] == 0


def test_a_notification_does_not_wait_for_running_exports(start: Start) -> None:
    stack = start()
    person = stack.signed_in()
    busy = [person.export(format="xlsx", period=period) for period in ("all", "ytd")]
    for export in busy:
        await_rendering(person, export, started=True)

    stack.shell(
        "small = User.objects.get(username='small@example.com'); "
        "notify(small, 'export_failed', dedupe_key='urgent', context={'reason': 'x'})"
    )
    sent = (
        "SELECT 1 FROM notifications_delivery AS delivery JOIN notifications_notification AS notice "
        "ON notice.id = notification_id WHERE dedupe_key = 'urgent' AND channel = 'email' AND delivery.state = 'sent'"
    )
    wait_until(lambda: select(stack, sent), what="the mail")

    assert {person.look(export)["state"] for export in busy} == {"rendering"}


def test_the_same_request_twice_makes_one_export(shared_stack: Stack) -> None:
    person = shared_stack.signed_in()
    first = person.export(format="jsonl")
    second = person.export(format="jsonl")
    assert first == second
    assert person.await_end(first)["state"] == "ready"


def test_another_users_export_is_not_found(shared_stack: Stack) -> None:
    export = shared_stack.signed_in("small@example.com").export(format="csv")
    stranger = shared_stack.signed_in("enterprise@example.com").browser
    for path in (f"/exports/{export}/", f"/exports/{export}/download/", f"/api/exports/{export}/"):
        assert stranger.get(path).status == 404
