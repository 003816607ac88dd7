"""The same export with one rendering process and with two, through the real broker, from the click to READY."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from benchmarks.bench import Bench, Run
from benchmarks.ledger.rows import APART, BEGIN
from benchmarks.lines import ROUNDS, Figures, Line, Target, markdown, median, short
from benchmarks.site import ENTERPRISE, Site, Visitor, running
from deploy.steps import step

SIZES = {"csv": 1_000_000, "xlsx": 300_000, "pdf": 120_000}
WARMING = 4
"""Small exports of each format, all at once, before any is measured."""
PATIENCE = 180
"""Seconds for one export."""


class Workers(Line):
    """Two processes ought to do nearly twice the work of one."""

    name = "workers"
    title = "Two workers"
    about = (
        "A whole site on PostgreSQL, its bulk worker with one child or two; from the click to READY by the database's "
        "clock, planning, checksums and assembling included. CSV is formatted by PostgreSQL's own processes, which "
        "share the two cores with the workers."
    )

    def measure(self, bench: Bench) -> Figures:
        bench.ledger(bench.rows(max(SIZES.values())))
        figures: Figures = {kind: {"1": [], "2": []} for kind in SIZES}
        url = bench.fresh_database("workers")
        with running(bench.folder / "workers", ("web", "worker-high"), DATABASE_URL=url) as here:
            person = here.visitor(ENTERPRISE)
            for number in range(ROUNDS):
                for children in (1, 2):
                    with step(f"{children} at work, {number + 1} of {ROUNDS}"):
                        for kind, run in _all(bench, here, person, children).items():
                            figures[kind][str(children)].append(run)
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind, runs in figures.items():
            yield Target(f"{kind}, speed of two to one", median(runs["1"]) / median(runs["2"]), "at least", 1.6, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (kind, f"{runs['1'][0]['rows']:,}", *(short(median(runs[children])) for children in "12"))
            for kind, runs in figures.items()
        ]
        return markdown(("", "rows", "one, seconds", "two, seconds"), rows)


def _all(bench: Bench, here: Site, person: Visitor, children: int) -> dict[str, Run]:
    """One export of each format with so many children."""
    here.start("worker-bulk", children)
    here.wait_for_workers()
    _warm(person)
    runs = {kind: _one(person, kind, bench.rows(rows)) for kind, rows in SIZES.items()}
    here.stop("worker-bulk")
    return runs


def _warm(person: Visitor) -> None:
    """A day of each format for each child, and again, so that no child imports anything while it is measured."""
    asked = [(kind, days_from(number, 1)) for kind in SIZES for number in range(WARMING)]
    for export in [person.export(dataset="bookings", format=kind, **period) for kind, period in asked]:
        person.wait(export, PATIENCE)


def _one(person: Visitor, kind: str, rows: int) -> Run:
    seen = person.wait(person.export(dataset="bookings", format=kind, **days(rows)), PATIENCE)
    return {"rows": seen["rows_done"], "seconds": seconds_between(seen)}


def days(rows: int) -> dict[str, str]:
    """The period of about so many of the ledger's first rows."""
    return days_from(0, 1 + (rows * APART).days)


def days_from(first: int, count: int) -> dict[str, str]:
    """The period of `count` days, from the ledger's day number `first` on; a day has almost 3,000 rows."""
    begin = BEGIN + timedelta(days=first)
    end = begin + timedelta(days=count - 1)
    return {"period": "custom", "date_from": f"{begin:%Y-%m-%d}", "date_to": f"{end:%Y-%m-%d}"}


def seconds_between(seen: dict[str, str]) -> float:
    """From the click to READY, by the moments that the database wrote down."""
    begin, end = (datetime.fromisoformat(seen[name]) for name in ("requested_at", "finished_at"))
    return (end - begin).total_seconds()
