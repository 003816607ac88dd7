"""Response time of the click: on an idle site, behind ten big exports, and while Redis is frozen or stopped."""

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

CLICKS, CLICKS_WITHOUT_REDIS = 300, 15
PAUSE = 0.05
"""Seconds between two clicks."""
BIG = 10
IDLE, BUSY, FROZEN, STOPPED = "nothing else to do", "ten big exports at work", "Redis silent (SIGSTOP)", "Redis gone"

LABELS = {
    IDLE: "idle",
    BUSY: "behind ten big exports",
    FROZEN: "Redis frozen with SIGSTOP",
    STOPPED: "Redis stopped",
}
"""How the documents name the cases of results.json."""


class Click(Line):
    """The click must be answered at once under any load."""

    name = "click"
    title = "The click"
    about = (
        f"A site on PostgreSQL with all processes on this machine. One user clicks {CLICKS} times in each case, and"
        f" {CLICKS_WITHOUT_REDIS} times where Redis is frozen or stopped. Each click is for another day, so it makes a"
        " new export, which is then cancelled. Milliseconds from the POST to the end of its response, on 127.0.0.1."
        " The big exports are XLSX and PDF of almost 1,000,000 rows each."
    )

    def measure(self, bench: Bench) -> Figures:
        rows = bench.rows(1_000_000)
        bench.ledger(rows)
        url = bench.fresh_database("click")
        with running(bench.folder / "click", ALL, DATABASE_URL=url) as site:
            visitor, times = site.visitor(SMALL), {}
            _clicks(visitor, CLICKS_WITHOUT_REDIS)  # warm-up: connections
            with step(IDLE):
                times[IDLE] = _clicks(visitor, CLICKS)
            with step(BUSY):
                times[BUSY], unfinished = _clicks_behind_exports(site, visitor, rows)
            with step("Redis frozen, then stopped"):
                times |= _clicks_without_redis(site, visitor)
        return {"times": times, "unfinished": unfinished}

    def targets(self, figures: Figures) -> Iterator[Target]:
        p99 = {case: percentile(figures["times"][case], 99) for case in (IDLE, BUSY)}
        yield Target("p99 behind ten big exports / p99 idle", p99[BUSY] / p99[IDLE], "at most", 2, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (LABELS.get(case, case), len(times), *(f"{percentile(times, share):.1f}" for share in (50, 99, 100)))
            for case, times in figures["times"].items()
        ]
        note = f"After the last click, {figures['unfinished']} of the ten big exports were still running."
        return [*markdown(("ms", "clicks", "median", "p99", "maximum"), rows), "", note]


def _clicks_behind_exports(site: Site, visitor: Visitor, rows: int) -> tuple[list[float], int]:
    """Return the times of the clicks behind BIG exports, and how many exports were unfinished after the last click."""
    other = site.visitor(ENTERPRISE)
    big = [
        other.export(dataset="bookings", format=kind, **days(rows * (100 - number) // 100))
        for number in range(BIG // 2)
        for kind in ("xlsx", "pdf")
    ]
    time.sleep(3)  # until the workers have started
    times = _clicks(visitor, CLICKS)
    unfinished = [export for export in big if other.look(export)["state"] not in FINAL]
    for export in unfinished:
        other.cancel(export)
    return times, len(unfinished)


def _clicks_without_redis(site: Site, visitor: Visitor) -> Figures:
    for name in ("worker-high", "worker-bulk"):
        site.stop(name)
    site.redis_process.send_signal(signal.SIGSTOP)
    try:
        frozen = _clicks(visitor, CLICKS_WITHOUT_REDIS, CLICKS)
    finally:
        site.redis_process.send_signal(signal.SIGCONT)
    redis_server.stop(site.redis_process)
    return {FROZEN: frozen, STOPPED: _clicks(visitor, CLICKS_WITHOUT_REDIS, CLICKS + CLICKS_WITHOUT_REDIS)}


def _clicks(visitor: Visitor, count: int, first: int = 0) -> list[float]:
    """Return the milliseconds of `count` clicks, each for another day from day number `first` on.

    A request that is already in flight would not make a new export.
    """
    times = []
    for number in range(first, first + count):
        day = f"{date(2026, 1, 1) + timedelta(days=number)}"
        began = time.perf_counter()
        answer = visitor.press(dataset="orders", format="csv", period="custom", date_from=day, date_to=day)
        times.append(round((time.perf_counter() - began) * 1000, 2))
        if answer.status != 202:
            raise SystemExit(f"The click returned {answer.status}: {answer.reason()}")
        visitor.cancel(answer.json()["id"])
        time.sleep(PAUSE)
    return times
