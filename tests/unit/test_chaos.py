"""Tests of the chaos run itself: the gates, the plan, the observer and the process manager."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import lines
from tests.chaos.database import Database
from tests.chaos.digests import content
from tests.chaos.facts import Download, Facts, Mail, Row
from tests.chaos.faults import faults, weights
from tests.chaos.manager import Manager
from tests.chaos.observer import TABLES, Observer, Orphan, ended
from tests.chaos.plan import Plan, make
from tests.chaos.verdict import Gate, counts, gates, spread

IDS = ("a" * 32, "b" * 32)


def clean(**other: Any) -> Facts:
    """Return the facts of two exports without any fault. `other` overrides fields."""
    defaults: dict[str, Any] = {
        "accepted": {export: {"spec": "00-csv-0", "request": 1} for export in IDS},
        "clicks": [0.1, 0.2],
        "refused": {},
        "unanswered": 0,
        "given_up": 0,
        "cancelled": frozenset(),
        "rows": {export: Row("ready", "", 3, 1) for export in IDS},
        "unknown": 0,
        "ends": dict.fromkeys(IDS, 2.0),
        "downloads": {export: Download("sha", "sha", "content") for export in IDS},
        "references": {"00-csv-0": "content"},
        "in_app": list(IDS),
        "mails": [Mail(100.0, "m1", IDS[0]), Mail(101.0, "m2", IDS[1])],
        "sunk": [],
        "mail_rows": {"m1": 1, "m2": 2},
        "jobs": dict.fromkeys(IDS, "done"),
        "effects": list(IDS),
        "hooks": [("w1", IDS[0]), ("w2", IDS[1])],
        "failed_deliveries": {},
        "orphans": [],
        "slots": [60, 120],
        "slots_expected": [60, 120],
        "slot_runs": 2,
        "unexpected": [],
        "strikes": [{"kind": "worker-kill", "struck": "worker-high"}],
    }
    return Facts(**defaults | other)


def orphan(kind: str = "delivery", pk: int = 1, moment: float = 100.5, seconds: float | None = 2.0) -> Orphan:
    return Orphan(kind, pk, 1, 4242, 0.0, moment, ours=True, seconds=seconds)


def broken(facts: Facts) -> list[str]:
    """Return the names of the gates that fail."""
    return [gate.name for gate in gates(counts(facts)) if not gate.holds]


def test_a_run_without_errors_passes() -> None:
    assert broken(clean()) == []
    assert all(isinstance(gate, Gate) for gate in gates(counts(clean())))


DOCTORED: dict[str, tuple[dict[str, Any], str]] = {
    "no row": ({"rows": {IDS[0]: Row("ready", "", 3, 1)}}, "0 lost"),
    "no final state": ({"rows": {IDS[0]: Row("ready", "", 3, 1), IDS[1]: Row("rendering", "", 9, 1)}}, "0 lost"),
    "no download": ({"downloads": {IDS[0]: Download("sha", "sha", "content")}}, "0 wrong"),
    "different bytes": ({"downloads": dict.fromkeys(IDS, Download("other", "sha", "content"))}, "0 wrong"),
    "different rows": ({"downloads": dict.fromkeys(IDS, Download("sha", "sha", "less"))}, "0 wrong"),
    "no notification": ({"in_app": [IDS[0]]}, "0 untold in the app"),
    "no mail": ({"mails": [Mail(100.0, "m1", IDS[0])]}, "0 untold by mail"),
    "two notifications": ({"in_app": [*IDS, IDS[0]]}, "0 told twice in the app"),
    "not cancelled": (
        {"cancelled": frozenset({IDS[0]})},
        "0 went on though their owners were told that they are cancelled",
    ),
    "two mails": (
        {"mails": [Mail(100.0, "m1", IDS[0]), Mail(101.0, "m2", IDS[1]), Mail(102.0, "m3", IDS[1])]},
        "0 told by two different mails",
    ),
    "slow recovery": (
        {"orphans": [orphan(seconds=31.0)]},
        "recovery: half within 30 s",
    ),
    "a job that waits": ({"jobs": {IDS[0]: "done", IDS[1]: "waiting"}}, "0 jobs lost"),
    "no job": ({"jobs": {IDS[0]: "done"}}, "0 jobs lost"),
    "a job without its effect": ({"effects": [IDS[0]]}, "0 jobs lost"),
    "an effect twice": ({"effects": [*IDS, IDS[0]]}, "0 effects of jobs twice"),
    "no webhook": ({"hooks": [("w1", IDS[0])]}, "0 untold by webhook"),
    "two webhooks": (
        {"hooks": [("w1", IDS[0]), ("w2", IDS[1]), ("w3", IDS[1])]},
        "0 told by webhooks with different ids",
    ),
    "a missing slot": ({"slots": [60]}, "every slot once"),
    "a slot twice": ({"slots": [60, 60, 120]}, "every slot once"),
}


@pytest.mark.parametrize("case", DOCTORED)
def test_each_gate_fails_for_its_fault(case: str) -> None:
    changes, gate = DOCTORED[case]
    assert broken(clean(**changes)) == [gate]


def test_a_row_that_is_never_claimed_again_counts_as_infinite() -> None:
    assert broken(clean(orphans=[orphan(seconds=1.0), orphan(seconds=1.0), orphan(seconds=None)])) == [
        "recovery: 99 % within 60 s"
    ]


def test_a_run_without_exports_fails() -> None:
    nothing = clean(accepted={}, rows={}, in_app=[], mails=[], jobs={}, effects=[], hooks=[])
    assert broken(nothing) == ["somebody was there: exports were accepted and became ready"]


def test_copies_of_a_webhook_with_the_same_id_are_allowed() -> None:
    facts = clean(hooks=[("w1", IDS[0]), ("w1", IDS[0]), ("w2", IDS[1])])
    assert (counts(facts)["double_webhook"], broken(facts)) == (1, [])


COPIED = [Mail(103.0, "m1", IDS[0], 100.0), Mail(101.0, "m2", IDS[1], 101.0), Mail(110.0, "m1", IDS[0], 110.0)]


@pytest.mark.parametrize(
    ("orphans", "explained"),
    [
        pytest.param([], False, id="no process died"),
        pytest.param([orphan()], True, id="its process died before recording the delivery"),
        pytest.param([orphan(pk=2)], False, id="another delivery's process died"),
        pytest.param([orphan(kind="part")], False, id="a part's process died"),
        pytest.param([orphan(moment=99.0)], False, id="it died before writing the first copy"),
        pytest.param([orphan(moment=111.0)], False, id="it died after the second copy"),
    ],
)
def test_only_the_death_of_its_own_process_explains_a_second_copy_of_a_mail(
    orphans: list[Orphan], explained: bool
) -> None:
    facts = clean(mails=COPIED, orphans=orphans)
    assert counts(facts)["double_mail"] == 1
    assert (broken(facts) == []) is explained


def test_spread() -> None:
    assert spread([]) == {"p50": None, "p99": None, "max": None}
    assert spread(list(range(1, 101))) == {"p50": 50.0, "p99": 99.0, "max": 100.0}
    assert spread([0.5]) == {"p50": 0.5, "p99": 0.5, "max": 0.5}


# --- the plan -------------------------------------------------------------------------------------------------------


def planned(seed: int, number: int = 30, database: str = "postgresql", broker: str = "redis") -> Plan:
    known = faults(database, broker)
    return make(seed, number, 4.0, 0.5, weights(known, short=number < 100), short=number < 100)


def test_the_plan_is_determined_by_the_seed() -> None:
    assert planned(1).as_json() == planned(1).as_json()
    assert planned(1).as_json() != planned(2).as_json()


@pytest.mark.parametrize("number", [30, 3_000])
@pytest.mark.parametrize(
    ("database", "broker"),
    [("postgresql", "redis"), ("sqlite", "redis"), ("postgresql", "sentinel"), ("sqlite", "rabbitmq")],
)
def test_every_fault_strikes_in_every_run(number: int, database: str, broker: str) -> None:
    known = faults(database, broker)
    struck = {(strike.kind, strike.name) for strike in planned(1, number, database, broker).strikes}
    often = weights(known, short=number < 100)
    assert struck == {(kind, name) for kind in known for name in often[kind].names}


def test_requests_are_ordered_and_distinct() -> None:
    plan = planned(1, 300)
    moments = [request.at for request in plan.requests]
    assert moments == sorted(moments)
    assert moments[-1] == pytest.approx(plan.seconds, abs=0.01)
    assert len({request.number for request in plan.requests}) == 300
    assert any(request.twice for request in plan.requests)
    assert any(request.cancel_after is not None for request in plan.requests)


# --- the observer and the manager -----------------------------------------------------------------------------------


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Tables with the columns that the observer reads."""
    database = sqlite3.connect(tmp_path / "db.sqlite3", isolation_level=None)
    for table in TABLES.values():
        database.execute(f"CREATE TABLE {table} (id, attempt, leased_by, lease_until, next_attempt_at)")
    yield database
    database.close()


@pytest.fixture
def dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_rows_of_a_dead_process_are_observed_until_they_are_claimed(
    tmp_path: Path, tables: sqlite3.Connection, dead_pid: int
) -> None:
    tables.execute(f"INSERT INTO exports_part VALUES (7, 1, 'host:ab:{dead_pid}:99', 'then', 'then')")
    with closing(Database("", str(tmp_path / "db.sqlite3"))) as database:
        observer = Observer(database, {dead_pid: time.monotonic() - 5})
        observer.look()
        (found,) = observer.open_orphans()
        assert (found.kind, found.pk, found.attempt, found.pid, found.ours) == ("part", 7, 1, dead_pid, True)

        tables.execute("UPDATE exports_part SET lease_until = NULL")  # freed and not yet claimed
        observer.look()
        assert observer.open_orphans() == [found]
        assert found.freed == pytest.approx(5, abs=1)
        tables.execute("UPDATE exports_part SET attempt = 2")
        observer.look()
        assert observer.open_orphans() == []
        assert found.seconds == pytest.approx(5, abs=1)


def test_a_running_process_has_not_ended(tmp_path: Path, tables: sqlite3.Connection) -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        start = Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[19]
        assert not ended(sleeper.pid, start)
        assert ended(sleeper.pid, "1"), "the process id was reused"
        sleeper.kill()
        sleeper.wait()
        assert ended(sleeper.pid, start)


@pytest.mark.slow
def test_the_manager_restarts_a_killed_program() -> None:
    started: list[str] = []

    def start(name: str) -> subprocess.Popen[bytes]:
        started.append(name)
        return subprocess.Popen(["sleep", "60"], start_new_session=True)

    manager = Manager(start, lambda _: 5)
    manager.start()
    try:
        manager.keep_up("one")
        until(lambda: manager.pid("one"))
        pid = manager.pid("one")
        assert manager.kill("one")
        until(lambda: len(started) == 2)
        assert manager.unexpected(()) == []
        assert pid in manager.deaths
    finally:
        manager.stop()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_incomplete_last_line_is_ignored(tmp_path: Path) -> None:
    lines.append(tmp_path / "ledger", {"export": "one"})
    with (tmp_path / "ledger").open("a") as ledger:
        ledger.write('{"export": "tw')
    assert [fact["export"] for fact in lines.read(tmp_path / "ledger")] == ["one"]


def zipped(day: str, rows: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"orders/orders-{day}-to-2100-12-31.csv", rows)
        archive.writestr("manifest.json", day)
    return file.getvalue()


def test_contents_differ_only_by_their_rows() -> None:
    assert content(zipped("1980-01-02", b"a,b"), "zip") == content(zipped("1980-01-03", b"a,b"), "zip")
    assert content(zipped("1980-01-02", b"a,b"), "zip") != content(zipped("1980-01-02", b"a,c"), "zip")
    assert content(b"a,b", "csv") != content(b"a,c", "csv")
    assert content(b"no archive", "zip").startswith("unreadable")
