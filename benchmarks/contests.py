"""Carryall and its peers on the same rows, alternating in one session (A B A B A B). Medians and their ratios."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.lines import ROUNDS, Figures, Line, Target, highest, markdown, median, rate, short
from deploy.steps import step

OURS = "Carryall"


@dataclass(frozen=True)
class Contender:
    """One way to write the file. `why` is the reason for a row count that differs from Carryall's."""

    name: str
    module: str
    rows: int
    argument: str = ""
    at_least: float | None = None
    """Target for the ratio of Carryall's rows per second to this peer's."""
    why: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        return (self.argument,) if self.argument else ()


@dataclass(frozen=True)
class Contest(Line):
    """One format at one size against its peers. `seconds` and `peak_mb` are limits for Carryall alone."""

    name: str
    title: str
    kind: str
    rows: int
    peers: tuple[Contender, ...] = ()
    seconds: float | None = None
    peak_mb: float | None = None

    @property
    def contenders(self) -> tuple[Contender, ...]:
        return (Contender(OURS, "benchmarks.one", self.rows, self.kind), *self.peers)

    @property
    def about(self) -> str:
        fewer = [
            f"Only {peer.rows:,} rows for {peer.name}: {peer.why}." for peer in self.peers if peer.rows != self.rows
        ]
        return " ".join([f"{self.rows:,} rows from PostgreSQL to a file, in one process.", *fewer])

    def measure(self, bench: Bench) -> Figures:
        figures: Figures = {contender.name: [] for contender in self.contenders}
        bench.ledger(bench.rows(max(contender.rows for contender in self.contenders)))
        for number in range(1, ROUNDS + 1):
            for contender in self.contenders:
                with step(f"{self.name}: {contender.name}, {number} of {ROUNDS}"):
                    rows = bench.rows(contender.rows)
                    figures[contender.name].append(bench.run(contender.module, *contender.arguments, rows=rows))
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        ours = figures[OURS]
        for peer in self.peers:
            if peer.at_least is not None:
                ratio = rate(ours) / rate(figures[peer.name])
                yield Target(f"rows/s, Carryall / {peer.name}", ratio, "at least", peer.at_least, "×")
        if self.seconds is not None:
            yield Target("time", median(ours), "at most", self.seconds, "s")
        if self.peak_mb is not None:
            yield Target("peak memory", highest(ours) or 0, "at most", self.peak_mb, "MB")

    def table(self, figures: Figures) -> list[str]:
        ours = rate(figures[OURS])
        rows = [
            (
                name, f"{runs[0]['rows']:,}", short(median(runs)), short(rate(runs)), short(highest(runs)),
                short(median(runs, "bytes") / 1e6), "" if name == OURS else f"{short(ours / rate(runs))} ×",
            )
            for name, runs in figures.items()
        ]  # fmt: skip
        return markdown(("", "rows", "seconds", "rows/s", "peak MB", "file MB", "Carryall / peer"), rows)


MILLION = 1_000_000
FLAT = "its time per row does not fall with more rows, and this saves minutes"

CONTESTS = (
    Contest(
        "pdf-8k", "PDF, 8,000 rows", "pdf", 8_000,
        (
            Contender("plain WeasyPrint", "benchmarks.peers.weasyprint_plain", 2_000, at_least=150, why=FLAT),
            Contender("reportlab's raw canvas", "benchmarks.peers.reportlab_canvas", 8_000, at_least=2.5),
        ),
    ),
    Contest("pdf-600k", "PDF, 600,000 rows", "pdf", 600_000, seconds=30, peak_mb=128),
    Contest(
        "csv-1m", "CSV, 1,000,000 rows", "csv", MILLION,
        (
            Contender("psql \\copy", "benchmarks.peers.psql", MILLION, "csv", at_least=0.9),
            Contender("django-import-export", "benchmarks.peers.import_export", 100_000, "csv", 30, FLAT),
        ),
    ),
    Contest(
        "jsonl-1m", "JSON Lines, 1,000,000 rows", "jsonl", MILLION,
        (Contender("psql \\copy of row_to_json", "benchmarks.peers.psql", MILLION, "jsonl", at_least=0.8),),
    ),
    Contest(
        "xlsx-1m", "XLSX, 1,000,000 rows", "xlsx", MILLION,
        (
            Contender("django-import-export", "benchmarks.peers.import_export", 100_000, "xlsx", 10, FLAT),
            Contender(
                "XlsxWriter, constant_memory", "benchmarks.peers.xlsxwriter_constant", 250_000, at_least=3, why=FLAT
            ),
            Contender("rustpy-xlsxwriter on ready rows", "benchmarks.peers.rustpy_ready", MILLION, at_least=0.8),
        ),
    ),
)  # fmt: skip
