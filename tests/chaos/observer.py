"""Observer of leases, polled four times a second: rows held by dead processes, and the time until they recover."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.database import Away, Database

EVERY = 0.25
TABLES = {
    "export": "exports_export",
    "part": "exports_part",
    "delivery": "notifications_delivery",
    "slot": "exports_slot",
    "report": "exports_usagereport",
}
HELD = " UNION ALL ".join(
    f"SELECT '{kind}', id, attempt, leased_by FROM {table}"
    " WHERE lease_until IS NOT NULL AND next_attempt_at IS NOT NULL"
    for kind, table in TABLES.items()
)


@dataclass
class Orphan:
    """A row whose holder died. `seconds` to recovery is None until the row is claimed again or closed."""

    kind: str
    pk: int
    attempt: int
    pid: int
    since: float
    """Time of death on the monotonic clock."""
    moment: float
    """Time of death in seconds since 1970."""
    ours: bool
    """Whether the run killed the process."""
    seconds: float | None = None
    freed: float | None = None
    """Seconds until the row could be claimed: the time for the lease and the sweep, without the queue."""


class Observer(threading.Thread):
    """Record every row held by a dead process. `deaths` maps process ids to times of death, where known."""

    def __init__(self, database: Database, deaths: Mapping[int, float]) -> None:
        super().__init__(name="observer", daemon=True)
        self._database, self._deaths = database, deaths
        self._ended = threading.Event()
        self.orphans: dict[tuple[str, int, int], Orphan] = {}
        self.held: list[tuple[str, int, int, int]] = []
        """(kind, primary key, attempt, process id) at the last poll."""
        self.failed_looks = 0

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self.look()
            except Away:
                self.failed_looks += 1
        self._database.close()

    def finish(self) -> None:
        """Poll a last time and stop."""
        time.sleep(2 * EVERY)
        self.stop()

    def stop(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join(10)

    def open_orphans(self) -> list[Orphan]:
        return [orphan for orphan in list(self.orphans.values()) if orphan.seconds is None]

    def holders(self, kind: str = "") -> set[int]:
        """Return the ids of the processes that held a row at the last poll."""
        return {pid for what, _, _, pid in self.held if not kind or what == kind}

    def look(self) -> None:
        held = [(kind, pk, attempt, *_process(name)) for kind, pk, attempt, name in self._database.ask(HELD)]
        self.held = [(kind, pk, attempt, pid) for kind, pk, attempt, pid, _ in held]
        for kind, pk, attempt, pid, start in held:
            if (kind, pk, attempt) not in self.orphans and ended(pid, start):
                self._note(kind, pk, attempt, pid)
        self._settle()

    def _note(self, kind: str, pk: int, attempt: int, pid: int) -> None:
        now = time.monotonic()
        since = self._deaths.get(pid, now)
        moment = time.time() - (now - since)
        self.orphans[kind, pk, attempt] = Orphan(kind, pk, attempt, pid, since, moment, pid in self._deaths)

    def _settle(self) -> None:
        """Note the orphans that have become claimable, and those that have been claimed again or closed."""
        waiting, held = self.open_orphans(), f"lease_until > {self._database.now}"
        for kind, table in TABLES.items():
            mine = {orphan.pk: orphan for orphan in waiting if orphan.kind == kind}
            if mine:
                same = " OR ".join(f"id = {pk} AND attempt = {orphan.attempt}" for pk, orphan in mine.items())
                rows = self._database.ask(
                    f"SELECT id, coalesce({held}, FALSE) FROM {table} WHERE next_attempt_at IS NOT NULL AND ({same})"
                )
                for pk in mine.keys() - {pk for pk, held in rows if held}:
                    mine[pk].freed = mine[pk].freed or time.monotonic() - mine[pk].since
                for pk in mine.keys() - {pk for pk, _ in rows}:
                    mine[pk].seconds = time.monotonic() - mine[pk].since


def _process(holder: str) -> tuple[int, str]:
    """Return process id and start tick from a holder's name, `<host>:<scope>:<pid>:<start>`."""
    *_, pid, start = ["0", "0", *holder.split(":")]
    return int(pid), start


def ended(pid: int, start: str) -> bool:
    """Return whether the process with this start tick has ended. A zombie counts as ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX" or fields[19] != start
