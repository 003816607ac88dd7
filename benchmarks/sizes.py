"""Peak memory and time per row of every format, at growing numbers of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.bench import Bench, Run
from benchmarks.lines import ROUNDS, Figures, Line, Target, highest, markdown, median, short, spread
from deploy.steps import step

FORMATS = ("csv", "json", "jsonl", "parquet", "xlsx", "pdf")
SIZES = (10_000, 100_000, 1_000_000)
SMALL, MORE_ROUNDS = 10_000, 5
"""Up to SMALL rows, a run takes well under a second and is repeated MORE_ROUNDS times."""

BySize = Mapping[str, list[Run]]


class _Sizes(Line):
    """The runs that both benchmarks share: one process for each format, size and round."""

    source = "sizes"

    def measure(self, bench: Bench) -> Figures:
        figures: Figures = {kind: {} for kind in FORMATS}
        bench.ledger(bench.rows(SIZES[-1]))
        for size in (1, *SIZES):
            for number in range(MORE_ROUNDS if size <= SMALL else ROUNDS):
                with step(f"{size:,} rows, {number + 1}"):
                    for kind in FORMATS:
                        rows = 1 if size == 1 else bench.rows(size)
                        runs = figures[kind].setdefault(str(size), [])
                        runs.append(bench.run("benchmarks.one", kind, rows=rows))
        return figures


class Memory(_Sizes):
    """The peak memory of a worker must not grow with the number of rows."""

    name = "memory"
    title = "Memory"
    about = (
        "One process writes the ledger in one format. The figure is its largest resident set, of which about 60 MB are "
        "Python and Django; the maximum of the runs."
    )

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind, runs in figures.items():
            ratio = (highest(runs[str(SIZES[-1])]) or 0) / (highest(runs[str(SIZES[0])]) or 1)
            yield Target(f"{kind}, peak at 1,000,000 rows / at 10,000 rows", ratio, "at most", 1.2, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [(kind, *(short(highest(runs[str(size)])) for size in SIZES)) for kind, runs in figures.items()]
        return markdown(("peak MB", *(f"{size:,} rows" for size in SIZES)), rows)


class Cost(_Sizes):
    """The time per row must not grow with the number of rows."""

    name = "cost"
    title = "Time per row"
    about = (
        "The same runs. The seconds of an export of one row in the same format (planning, and for PDF and XLSX a first "
        "page and styles) are subtracted from the seconds of each run. The rest is divided by the number of rows."
    )

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind, runs in figures.items():
            yield Target(f"{kind}, longest / shortest time per row", spread(costs(runs)), "at most", 1.2, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (kind, *map(short, costs(runs).values()), short(median(runs["1"]) * 1000)) for kind, runs in figures.items()
        ]
        return markdown(("µs per row", *(f"{size:,} rows" for size in SIZES), "ms for one row"), rows)


def costs(runs: BySize) -> dict[str, float]:
    """Return the microseconds per row at each size, without those of an export of one row."""
    first = median(runs["1"])
    return {str(size): (median(runs[str(size)]) - first) / runs[str(size)][0]["rows"] * 1e6 for size in SIZES}
