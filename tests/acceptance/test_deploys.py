"""Deploys: workers and the web server are restarted under load, and messages arrive from other versions."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from deploy.steps import Fault
from durable.celery.shutdown import GIVING_BACK, GRACE, LEAVING
from tests.support.groups import members
from tests.support.sql import nobody_else_writes, select
from tests.support.stack import SMALL, Person, Stack, running, wait_until

WORKERS = ("worker-bulk", "worker-high")
SOON = 4.0
"""Tolerance in seconds for signals, forks and process ends on a busy machine."""
DELAY = 30
"""Maximum seconds of a small export while its worker restarts. About three on an idle machine."""
ATTEMPTS = 5


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the file whose creation ends the long-running parts."""
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("deploys")
    with running(folder, POISON="1", GATE=str(gate), ROWS_PER_PART="12000", MAX_PER_HOUR="1000") as site:
        yield site


def end(stack: Stack, name: str, how: signal.Signals = signal.SIGTERM) -> float:
    """Signal a program and wait until it and its children have ended by themselves. Return the seconds it took."""
    process = stack.processes.pop(name)
    began = time.monotonic()
    process.send_signal(how)
    process.send_signal(how)  # a second signal must not change anything
    assert process.wait(stack.programs[name].stop_seconds) == 0
    seconds = time.monotonic() - began
    wait_until(lambda: not members(process.pid), 2, what=f"the end of {name}'s children")
    return seconds


def begin(stack: Stack, name: str) -> None:
    log = stack.folder / f"{name}.log"
    before = log.read_text(errors="replace").count(" ready.")
    stack.start(name)
    if name in WORKERS:
        wait_until(lambda: log.read_text(errors="replace").count(" ready.") > before, what=f"{name} ready")


def restart(stack: Stack, *names: str) -> dict[str, float]:
    """Restart the programs in turn, as a deploy does. Return the seconds that each took to end."""
    seconds = {}
    for name in names:
        seconds[name] = end(stack, name)
        begin(stack, name)
    return seconds


class Row(NamedTuple):
    """Columns of a part."""

    attempt: int
    attempt_limit: int
    leased_by: str
    state: str


def parts(stack: Stack, export: str) -> list[Row]:
    fields = ", ".join(f"p.{name}" for name in Row._fields)
    sql = f"SELECT {fields} FROM exports_part p JOIN exports_export e ON e.id = p.export_id"
    return [Row(*row) for row in select(stack, f"{sql} WHERE replace(e.uuid, '-', '') = ?", export.replace("-", ""))]


def held(stack: Stack, export: str) -> Row | None:
    """Return a part of the export that a worker has leased, or None."""
    return next((part for part in parts(stack, export) if part.leased_by), None)


def notifications(stack: Stack, export: str) -> int:
    keys = select(stack, "SELECT dedupe_key FROM notifications_notification WHERE kind = 'export_ready'")
    return sum(export in key for (key,) in keys)


class Clicker:
    """A thread that keeps requesting exports while the web server is restarted."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pressed, self.accepted = 0, set[str]()

    def __enter__(self) -> Clicker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.3):
            try:
                self.pressed += 1
                self.accepted.add(self._person.export(format="csv"))
            except (OSError, Fault):
                continue


def test_a_rolling_restart_only_delays_exports(stack: Stack, gate: Path) -> None:
    person = stack.signed_in()
    long = person.export(dataset="poison", format="csv", fields="wait", fields_of="poison")
    before = wait_until(lambda: held(stack, long), what="the long part")
    exports = {kind: person.export(format=kind) for kind in ("csv", "pdf")}

    with Clicker(stack.signed_in(SMALL)) as clicker:
        seconds = restart(stack, *WORKERS, "web")
        after = wait_until(lambda: held(stack, long), 10, what="the long part's next claim")
        assert after.leased_by != before.leased_by
        assert after.attempt_limit - after.attempt == before.attempt_limit - before.attempt, "the attempt was counted"
        gate.touch()
        again = restart(stack, *WORKERS, "web")

    assert GRACE <= seconds["worker-bulk"] <= GRACE + SOON
    assert again["worker-bulk"] <= GRACE + LEAVING + SOON
    assert max(seconds["worker-high"], again["worker-high"]) <= GRACE
    for export in [*exports.values(), long]:
        seen = person.await_end(export, 60)
        assert seen["state"] == "ready", seen["error"]
        assert hashlib.sha256(person.download(export)).hexdigest() == seen["sha256"]
        assert notifications(stack, export) == 1
        assert max(part.attempt for part in parts(stack, export)) <= 3
    control = person.export(format="csv")
    assert person.await_end(control)["sha256"] == person.look(exports["csv"])["sha256"]
    assert_once(stack, clicker)


def assert_once(stack: Stack, clicker: Clicker) -> None:
    """Assert that each answered click has one export, and that all exports were READY within DELAY."""
    owner = "FROM exports_export e JOIN auth_user u ON u.id = e.owner_id WHERE u.username = ?"

    def states() -> dict[str, str]:
        return {uuid.replace("-", ""): state for uuid, state in select(stack, f"SELECT e.uuid, e.state {owner}", SMALL)}

    wait_until(lambda: set(states().values()) <= {"ready"}, what="the exports of the clicks")
    assert {uuid.replace("-", "") for uuid in clicker.accepted} <= set(states())
    assert clicker.accepted
    assert len(states()) <= clicker.pressed
    seconds = "SELECT max(julianday(e.finished_at) - julianday(e.requested_at)) * 86400"
    ((longest,),) = select(stack, f"{seconds} {owner}", SMALL)
    assert longest <= DELAY


def test_without_a_grace_period_work_is_given_back_at_once(stack: Stack, gate: Path) -> None:
    gate.unlink(missing_ok=True)
    person = stack.signed_in()
    export = person.export(dataset="poison", format="csv", fields="wait", fields_of="poison")
    wait_until(lambda: held(stack, export), what="the long part")

    assert end(stack, "worker-bulk", signal.SIGQUIT) <= SOON
    (part,) = parts(stack, export)
    assert (part.leased_by, part.attempt_limit - part.attempt) == ("", ATTEMPTS)
    begin(stack, "worker-bulk")
    wait_until(lambda: held(stack, export), what="the long part's next claim")

    with nobody_else_writes(stack):  # the part cannot be given back, so the sweep frees it and the attempt counts
        assert end(stack, "worker-bulk", signal.SIGQUIT) <= GIVING_BACK + SOON
    gate.touch()
    begin(stack, "worker-bulk")
    assert person.await_end(export)["state"] == "ready"
    (part,) = parts(stack, export)
    assert part.attempt_limit - part.attempt == ATTEMPTS - 2


ENVELOPE = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {"lang": "py", "task": "exports.tasks.plan_export", "id": "8b6e3a52", "retries": 0, "origin": "another"}
PROPERTIES = {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "high"}, "body_encoding": "base64"}


def message(content: Any, headers: Any = HEADERS, properties: Any = PROPERTIES, **changes: Any) -> bytes:
    """Return a message in kombu's Redis format. Its body is `content`, as JSON unless it is bytes."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    envelope = {
        "body": base64.b64encode(raw).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {"delivery_tag": os.urandom(8).hex(), **properties},
    }
    return json.dumps(envelope | changes).encode()


def without(given: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != key}


PICKLED = b"cos\nsystem\n(S'exit 1'\ntR."
FOREIGN: dict[str, Callable[[int], bytes]] = {
    "an unknown task": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"task": "exports.tasks.of_tomorrow"}),
    "an unknown task, no id": lambda pk: message([[pk], {}, ENVELOPE], without(HEADERS | {"task": "tomorrow"}, "id")),
    "an extra argument": lambda pk: message([[pk, "more"], {}, ENVELOPE]),
    "an extra keyword argument": lambda pk: message([[pk], {"more": 1}, ENVELOPE]),
    "a missing argument": lambda _: message([[], {}, ENVELOPE]),
    "a UUID as argument": lambda _: message([["7f9c0c0e-0000-4000-8000-000000000000"], {}, ENVELOPE]),
    "no id": lambda pk: message([[pk], {}, ENVELOPE], without(HEADERS, "id")),
    "no headers": lambda pk: message([[pk], {}, ENVELOPE], {}),
    "headers that are a list": lambda pk: message([[pk], {}, ENVELOPE], [1]),
    "a name that is a list": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"task": ["plan"]}),
    "an invalid time limit": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"timelimit": [1, 2, 3]}),
    "an invalid eta": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"eta": "tomorrow"}),
    "a body that is not a list": lambda pk: message({"pk": pk}),
    "a short body": lambda pk: message([pk]),
    "a body that is a number": message,
    "a body that is null": lambda _: message(None),
    "a garbled body": lambda _: message(b"\xff\xfe garbage"),
    "a body that is not base64": lambda pk: message([[pk], {}, ENVELOPE], body="!!!"),
    "pickle": lambda _: message(PICKLED, **{"content-type": "application/x-python-serialize"}),
    "an unknown content type": lambda pk: message([[pk], {}, ENVELOPE], **{"content-type": "application/x-tomorrow"}),
    "an unknown charset": lambda _: message([[], {}, ENVELOPE], **{"content-encoding": "utf-99"}),
    "an unknown compression": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"compression": "tomorrow"}),
    "a wrong compression": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"compression": "gzip"}),
    "no properties": lambda _: b'{"headers": {}}',
    "JSON that is not a message": lambda _: b"[1]",
    "not JSON": lambda _: b"\xff\x00 garbage",
    "an empty message": lambda _: b"",
}


def test_a_message_of_another_version_is_refused_and_the_export_completes(stack: Stack) -> None:
    """Replace the message of an export with each of these. The sweep sends another one."""
    end(stack, "worker-high")
    person = stack.signed_in(SMALL)
    export = person.export(format="xlsx")
    ((pk,),) = select(stack, "SELECT max(id) FROM exports_export")
    with stack.redis_client() as redis:
        redis.delete("carryall:high", "carryall:bulk", "carryall:unacked", "carryall:unacked_index")
        for foreign in FOREIGN.values():
            redis.lpush("carryall:high", foreign(pk))
            redis.lpush("carryall:bulk", foreign(pk))
        begin(stack, "worker-high")
        pids = {name: [stack.processes[name].pid, *stack.children(name)] for name in WORKERS}
        assert person.await_end(export)["state"] == "ready"
        wait_until(lambda: not redis.exists("carryall:high", "carryall:bulk", "carryall:unacked"), what="empty queues")
    assert pids == {name: [stack.processes[name].pid, *stack.children(name)] for name in WORKERS}
    assert all(stack.processes[name].poll() is None for name in WORKERS)
    assert "Connection to broker lost" not in "".join(tail(stack, name) for name in WORKERS)


def tail(stack: Stack, name: str) -> str:
    """Return the log of a program since its last start."""
    return (stack.folder / f"{name}.log").read_text(errors="replace").rpartition(" ready.")[2]
