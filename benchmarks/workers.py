"""The same export with one and with two rendering processes, through the real broker, from the click to READY."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from benchmarks.bench import Bench, Run
from benchmarks.ledger.rows import BEGIN, INTERVAL
from benchmarks.lines import ROUNDS, Figures, Line, Target, markdown, median, short
from benchmarks.site import ENTERPRISE, Site, Visitor, running
from deploy.steps import step

SIZES = {"csv": 1_000_000, "xlsx": 300_000, "pdf": 120_000}
WARM_UPS = 4
"""Small exports of each format, all at once, as warm-up."""
PATIENCE = 180
"""Timeout of one export, in seconds."""


class Workers(Line):
    """Two processes should do nearly twice the work of one."""

    name = "workers"
    title = "Two workers"
    about = (
        "A whole site on PostgreSQL whose bulk worker has one or two child processes. Seconds from the click to READY "
        "by the database's clock, including planning, checksums and assembly. PostgreSQL's own processes format the "
        "CSV, and share the two cores with the workers."
    )

    def measure(self, bench: Bench) -> Figures:
        bench.ledger(bench.rows(max(SIZES.values())))
        figures: Figures = {kind: {"1": [], "2": []} for kind in SIZES}
        url = bench.fresh_database("workers")
        with running(bench.folder / "workers", ("web", "worker-high"), DATABASE_URL=url) as site:
            visitor = site.visitor(ENTERPRISE)
            for number in range(ROUNDS):
                for children in (1, 2):
                    with step(f"child processes: {children}, round {number + 1} of {ROUNDS}"):
                        for kind, run in _all(bench, site, visitor, children).items():
                            figures[kind][str(children)].append(run)
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind, runs in figures.items():
            yield Target(f"{kind}, speed of two / of one", median(runs["1"]) / median(runs["2"]), "at least", 1.6, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (kind, f"{runs['1'][0]['rows']:,}", *(short(median(runs[children])) for children in "12"))
            for kind, runs in figures.items()
        ]
        return markdown(("format", "rows", "one process, s", "two processes, s"), rows)


def _all(bench: Bench, site: Site, visitor: Visitor, children: int) -> dict[str, Run]:
    """Make one export of each format with `children` child processes. Return the runs by format."""
    site.start("worker-bulk", children)
    site.wait_for_workers()
    _warm(visitor)
    runs = {kind: _one(visitor, kind, bench.rows(rows)) for kind, rows in SIZES.items()}
    site.stop("worker-bulk")
    return runs


def _warm(visitor: Visitor) -> None:
    """Make enough small exports of each format that no child process imports anything during the measurement."""
    requests = [(kind, days_from(number, 1)) for kind in SIZES for number in range(WARM_UPS)]
    for export in [visitor.export(dataset="bookings", format=kind, **period) for kind, period in requests]:
        visitor.wait(export, PATIENCE)


def _one(visitor: Visitor, kind: str, rows: int) -> Run:
    seen = visitor.wait(visitor.export(dataset="bookings", format=kind, **days(rows)), PATIENCE)
    return {"rows": seen["rows_done"], "seconds": seconds_between(seen)}


def days(rows: int) -> dict[str, str]:
    """Return the period of approximately the first `rows` rows of the ledger."""
    return days_from(0, 1 + (rows * INTERVAL).days)


def days_from(first: int, count: int) -> dict[str, str]:
    """Return the period of `count` days from day number `first` of the ledger. A day has almost 3,000 rows."""
    begin = BEGIN + timedelta(days=first)
    end = begin + timedelta(days=count - 1)
    return {"period": "custom", "date_from": f"{begin:%Y-%m-%d}", "date_to": f"{end:%Y-%m-%d}"}


def seconds_between(seen: dict[str, str]) -> float:
    """Return the seconds from the click to READY, by the timestamps of the database."""
    begin, end = (datetime.fromisoformat(seen[name]) for name in ("requested_at", "finished_at"))
    return (end - begin).total_seconds()
