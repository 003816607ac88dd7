"""Milliseconds until the click is answered: with nothing to do, behind ten big exports, and with Redis in trouble."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import date, timedelta

from benchmarks.bench import Bench
from benchmarks.lines import Figures, Line, Target, markdown, percentile
from benchmarks.site import ALL, ENTERPRISE, FINAL, SMALL, Site, Visitor, running
from benchmarks.workers import days
from deploy import redis_server
from deploy.steps import step

CLICKS, TROUBLED = 300, 15
PAUSE = 0.05
"""Seconds between two clicks."""
BIG = 10
IDLE, BUSY, SILENT, GONE = "nothing else to do", "ten big exports at work", "Redis silent (SIGSTOP)", "Redis gone"


class Click(Line):
    """The click is answered at once, whatever goes on behind it."""

    name = "click"
    title = "The click"
    about = (
        f"A site on PostgreSQL with everything on this machine. {CLICKS} clicks by one person, each for another day, so"
        f" that each is a new export, and cancelled afterwards; {TROUBLED} where Redis is in trouble. Milliseconds from"
        " the POST to its whole answer, by 127.0.0.1. The big exports are XLSX and PDF of almost 1,000,000 rows each."
    )

    def measure(self, bench: Bench) -> Figures:
        rows = bench.rows(1_000_000)
        bench.ledger(rows)
        url = bench.fresh_database("click")
        with running(bench.folder / "click", ALL, DATABASE_URL=url) as here:
            person, times = here.visitor(SMALL), {}
            _clicks(person, TROUBLED)  # the first ones open connections
            with step(IDLE):
                times[IDLE] = _clicks(person, CLICKS)
            with step(BUSY):
                times[BUSY], unfinished = _behind(here, person, rows)
            with step("Redis in trouble"):
                times |= _troubled(here, person)
        return {"times": times, "unfinished": unfinished}

    def targets(self, figures: Figures) -> Iterator[Target]:
        p99 = {case: percentile(figures["times"][case], 99) for case in (IDLE, BUSY)}
        yield Target("p99 behind ten big exports to p99 idle", p99[BUSY] / p99[IDLE], "at most", 2, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (case, len(times), *(f"{percentile(times, share):.1f}" for share in (50, 99, 100)))
            for case, times in figures["times"].items()
        ]
        rest = f"When the last click was answered, {figures['unfinished']} of the ten were still at work."
        return [*markdown(("ms", "clicks", "median", "p99", "worst"), rows), "", rest]


def _behind(here: Site, person: Visitor, rows: int) -> tuple[list[float], int]:
    """The clicks behind BIG exports, and how many of those were not ready at the last one."""
    other = here.visitor(ENTERPRISE)
    big = [
        other.export(dataset="bookings", format=kind, **days(rows * (100 - number) // 100))
        for number in range(BIG // 2)
        for kind in ("xlsx", "pdf")
    ]
    time.sleep(3)  # until the workers have begun
    times = _clicks(person, CLICKS)
    unfinished = [export for export in big if other.look(export)["state"] not in FINAL]
    for export in unfinished:
        other.cancel(export)
    return times, len(unfinished)


def _troubled(here: Site, person: Visitor) -> Figures:
    for name in ("worker-high", "worker-bulk"):
        here.stop(name)
    here.redis_process.send_signal(signal.SIGSTOP)
    try:
        silent = _clicks(person, TROUBLED, CLICKS)
    finally:
        here.redis_process.send_signal(signal.SIGCONT)
    redis_server.stop(here.redis_process)
    return {SILENT: silent, GONE: _clicks(person, TROUBLED, CLICKS + TROUBLED)}


def _clicks(person: Visitor, count: int, first: int = 0) -> list[float]:
    """Milliseconds of each, for days from number `first` on: one that is in flight already would be no new export."""
    times = []
    for number in range(first, first + count):
        day = f"{date(2026, 1, 1) + timedelta(days=number)}"
        began = time.perf_counter()
        answer = person.press(dataset="orders", format="csv", period="custom", date_from=day, date_to=day)
        times.append(round((time.perf_counter() - began) * 1000, 2))
        if answer.status != 202:
            raise SystemExit(f"The click was answered {answer.status}: {answer.reason()}")
        person.cancel(answer.json()["id"])
        time.sleep(PAUSE)
    return times
