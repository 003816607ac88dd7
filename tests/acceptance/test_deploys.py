"""Workers and the web server are ended and started anew while there is work, and messages come from other versions."""

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
"""Seconds that a signal, a fork or a process's end may take on a busy machine, beside what is promised."""
DELAY = 30
"""Seconds that a small export may take while its worker is started anew. It is some three on a machine that is idle."""
ATTEMPTS = 5


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long work goes on until somebody makes this file."""
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("deploys")
    with running(folder, POISON="1", GATE=str(gate), ROWS_PER_PART="12000", MAX_PER_HOUR="1000") as site:
        yield site


def end(stack: Stack, name: str, how: signal.Signals = signal.SIGTERM) -> float:
    """Seconds until it has gone, which it must by itself, with all of its children."""
    process = stack.processes.pop(name)
    began = time.monotonic()
    process.send_signal(how)
    process.send_signal(how)  # whoever is impatient sends it twice
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
    """One program after the other, as a deploy does; seconds that each took to end."""
    seconds = {}
    for name in names:
        seconds[name] = end(stack, name)
        begin(stack, name)
    return seconds


class Row(NamedTuple):
    """What a part's row says of its work."""

    attempt: int
    attempt_limit: int
    leased_by: str
    state: str


def parts(stack: Stack, export: str) -> list[Row]:
    fields = ", ".join(f"p.{name}" for name in Row._fields)
    sql = f"SELECT {fields} FROM exports_part p JOIN exports_export e ON e.id = p.export_id"
    return [Row(*row) for row in select(stack, f"{sql} WHERE replace(e.uuid, '-', '') = ?", export.replace("-", ""))]


def held(stack: Stack, export: str) -> Row | None:
    """The part that somebody is at."""
    return next((part for part in parts(stack, export) if part.leased_by), None)


def told(stack: Stack, export: str) -> int:
    keys = select(stack, "SELECT dedupe_key FROM notifications_notification WHERE kind = 'export_ready'")
    return sum(export in key for (key,) in keys)


class Clicker:
    """Somebody who goes on pressing the button while the web server is ended and started."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pressed, self.accepted = 0, set[str]()

    def __enter__(self) -> Clicker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(0.3):
            try:
                self.pressed += 1
                self.accepted.add(self._person.export(format="csv"))
            except (OSError, Fault):
                continue


def test_a_rolling_restart_costs_seconds_and_nothing_else(stack: Stack, gate: Path) -> None:
    person = stack.signed_in()
    long = person.export(dataset="poison", format="csv", fields="wait", fields_of="poison")
    before = wait_until(lambda: held(stack, long), what="the long part")
    exports = {kind: person.export(format=kind) for kind in ("csv", "pdf")}

    with Clicker(stack.signed_in(SMALL)) as clicker:
        seconds = restart(stack, *WORKERS, "web")
        after = wait_until(lambda: held(stack, long), 10, what="the long part's next claim")
        assert after.leased_by != before.leased_by
        assert after.attempt_limit - after.attempt == before.attempt_limit - before.attempt, "it must not count"
        gate.touch()
        again = restart(stack, *WORKERS, "web")

    assert GRACE <= seconds["worker-bulk"] <= GRACE + SOON
    assert again["worker-bulk"] <= GRACE + LEAVING + SOON
    assert max(seconds["worker-high"], again["worker-high"]) <= GRACE
    for export in [*exports.values(), long]:
        seen = person.await_end(export, 60)
        assert seen["state"] == "ready", seen["error"]
        assert hashlib.sha256(person.download(export)).hexdigest() == seen["sha256"]
        assert told(stack, export) == 1
        assert max(part.attempt for part in parts(stack, export)) <= 3
    control = person.export(format="csv")
    assert person.await_end(control)["sha256"] == person.look(exports["csv"])["sha256"]
    assert_once(stack, clicker)


def assert_once(stack: Stack, clicker: Clicker) -> None:
    """Each click that was answered has its export, READY within DELAY; none made two."""
    owner = "FROM exports_export e JOIN auth_user u ON u.id = e.owner_id WHERE u.username = ?"

    def states() -> dict[str, str]:
        return {uuid.replace("-", ""): state for uuid, state in select(stack, f"SELECT e.uuid, e.state {owner}", SMALL)}

    wait_until(lambda: set(states().values()) <= {"ready"}, what="the end of what was clicked")
    assert {uuid.replace("-", "") for uuid in clicker.accepted} <= set(states())
    assert clicker.accepted
    assert len(states()) <= clicker.pressed
    seconds = "SELECT max(julianday(e.finished_at) - julianday(e.requested_at)) * 86400"
    ((longest,),) = select(stack, f"{seconds} {owner}", SMALL)
    assert longest <= DELAY


def test_without_grace_the_work_is_given_back_at_once(stack: Stack, gate: Path) -> None:
    gate.unlink(missing_ok=True)
    person = stack.signed_in()
    export = person.export(dataset="poison", format="csv", fields="wait", fields_of="poison")
    wait_until(lambda: held(stack, export), what="the long part")

    assert end(stack, "worker-bulk", signal.SIGQUIT) <= SOON
    (part,) = parts(stack, export)
    assert (part.leased_by, part.attempt_limit - part.attempt) == ("", ATTEMPTS)
    begin(stack, "worker-bulk")
    wait_until(lambda: held(stack, export), what="the long part's next claim")

    with nobody_else_writes(stack):  # then the sweep frees it as a dead process's, and the attempt counts
        assert end(stack, "worker-bulk", signal.SIGQUIT) <= GIVING_BACK + SOON
    gate.touch()
    begin(stack, "worker-bulk")
    assert person.await_end(export)["state"] == "ready"
    (part,) = parts(stack, export)
    assert part.attempt_limit - part.attempt == ATTEMPTS - 2


ENVELOPE = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {"lang": "py", "task": "exports.tasks.plan_export", "id": "8b6e3a52", "retries": 0, "origin": "another"}
PROPERTIES = {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "high"}, "body_encoding": "base64"}


def message(said: Any, headers: Any = HEADERS, properties: Any = PROPERTIES, **changes: Any) -> bytes:
    """A message as kombu lays it into a list of Redis, whose body says this, or is these bytes."""
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
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
    "a task of tomorrow": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"task": "exports.tasks.of_tomorrow"}),
    "one without an id": lambda pk: message([[pk], {}, ENVELOPE], without(HEADERS | {"task": "tomorrow"}, "id")),
    "an argument more": lambda pk: message([[pk, "more"], {}, ENVELOPE]),
    "a keyword more": lambda pk: message([[pk], {"more": 1}, ENVELOPE]),
    "an argument less": lambda _: message([[], {}, ENVELOPE]),
    "a uuid": lambda _: message([["7f9c0c0e-0000-4000-8000-000000000000"], {}, ENVELOPE]),
    "no id": lambda pk: message([[pk], {}, ENVELOPE], without(HEADERS, "id")),
    "no headers": lambda pk: message([[pk], {}, ENVELOPE], {}),
    "headers that are a list": lambda pk: message([[pk], {}, ENVELOPE], [1]),
    "a name that is a list": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"task": ["plan"]}),
    "an odd time limit": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"timelimit": [1, 2, 3]}),
    "an odd moment": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"eta": "tomorrow"}),
    "a body that is no list": lambda pk: message({"pk": pk}),
    "a short body": lambda pk: message([pk]),
    "a body that is a number": message,
    "a body of nothing": lambda _: message(None),
    "a garbled body": lambda _: message(b"\xff\xfe garbage"),
    "a body that is not base64": lambda pk: message([[pk], {}, ENVELOPE], body="!!!"),
    "pickle": lambda _: message(PICKLED, **{"content-type": "application/x-python-serialize"}),
    "a type of tomorrow": lambda pk: message([[pk], {}, ENVELOPE], **{"content-type": "application/x-tomorrow"}),
    "a charset of tomorrow": lambda _: message([[], {}, ENVELOPE], **{"content-encoding": "utf-99"}),
    "a compression of tomorrow": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"compression": "tomorrow"}),
    "a compression that it is not": lambda pk: message([[pk], {}, ENVELOPE], HEADERS | {"compression": "gzip"}),
    "no properties": lambda _: b'{"headers": {}}',
    "JSON that is no message": lambda _: b"[1]",
    "no JSON": lambda _: b"\xff\x00 garbage",
    "nothing": lambda _: b"",
}


def test_a_message_of_another_version_is_refused_and_its_row_comes_through(stack: Stack) -> None:
    """Each of them in place of the message that an export's row has sent: the sweep sends another one."""
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
    """What a program has said since its last start."""
    return (stack.folder / f"{name}.log").read_text(errors="replace").rpartition(" ready.")[2]
