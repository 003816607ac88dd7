"""The demo's 160,000 orders as one PDF, from the click to READY, on a site as `make run` starts it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Run
from benchmarks.lines import ROUNDS, Figures, Line, Target, highest, markdown, median
from benchmarks.site import ALL, ENTERPRISE, Site, running
from benchmarks.watch import peaks
from benchmarks.workers import seconds_between
from deploy.steps import step

PATIENCE = 240
"""Timeout of one export, in seconds."""


class Whole(Line):
    """How long a user of the demo waits for the largest PDF."""

    name = "pdf-160k"
    title = "PDF, 160,000 orders, from the click to READY"
    about = (
        "The site as `make run` starts it: SQLite, Redis, web server, both workers and Beat, all on this machine, and "
        "a client that polls the progress five times a second. All twelve columns. The peak is the largest resident "
        "set of any process of the site, polled five times a second."
    )

    def measure(self, bench: Bench) -> Figures:
        with running(bench.folder / "whole", (*ALL, "beat")) as site:
            runs = []
            for number in range(1, ROUNDS + 1):
                with step(f"{self.name}, {number} of {ROUNDS}"):
                    runs.append(_once(site))
        return {"runs": runs}

    def targets(self, figures: Figures) -> Iterator[Target]:
        yield Target("time", median(figures["runs"]), "at most", 15, "s")
        yield Target("peak memory of any process", highest(figures["runs"]) or 0, "at most", 200, "MB")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (
                f"{run['rows']:,}",
                f"{run['pages']:,}",
                f"{run['seconds']:.1f}",
                f"{run['bytes'] / 1e6:.1f}",
                run["peak_mb"],
            )
            for run in figures["runs"]
        ]
        return [
            *markdown(("rows", "pages", "seconds", "file MB", "peak MB"), rows),
            "",
            "Peaks by program, MB: " + ", ".join(f"{name} {peak}" for name, peak in _by_program(figures).items()) + ".",
        ]


def _once(site: Site) -> Run:
    visitor = site.visitor(ENTERPRISE)
    roots = [(name, process.pid) for name, process in site.processes.items()]
    with peaks(roots) as found:
        seen = visitor.wait(visitor.export(dataset="orders", format="pdf", period="all"), PATIENCE, pause=0.2)
    return {
        "rows": seen["rows_done"], "pages": seen["pages"], "bytes": seen["size"], "seconds": seconds_between(seen),
        "peak_mb": max(found.values()), "peaks": dict(sorted(found.items())),
    }  # fmt: skip


def _by_program(figures: Figures) -> dict[str, float]:
    runs = figures["runs"]
    return {name: max(run["peaks"].get(name, 0.0) for run in runs) for name in runs[0]["peaks"]}
