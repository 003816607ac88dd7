"""Speed of PDF readers: Carryall's files compared with those of plain WeasyPrint."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.lines import ROUNDS, Figures, Line, Target, markdown, median, short
from deploy.steps import step

FEW, MANY = 2_000, 100_000
READERS = ("poppler", "pdfium", "mupdf")
OURS, PLAIN, LARGE = "carryall, 2,000 rows", "plain WeasyPrint, 2,000 rows", "carryall, 100,000 rows"


class Reading(Line):
    """Time to render a page in the middle of a file, in three readers."""

    name = "pdf-reading"
    title = "PDF readers: time to render a page"
    about = (
        "A reader opens the file and renders its middle page at 72 dots per inch: pdftoppm (poppler), pypdfium2 "
        "(pdfium), mutool (MuPDF). The median of several runs in each of three rounds, in which the files of Carryall "
        "and of plain WeasyPrint with the same rows alternate."
    )

    def measure(self, bench: Bench) -> Figures:
        figures: Figures = {OURS: [], PLAIN: [], LARGE: []}
        for number in range(ROUNDS):
            with step(f"round {number + 1}"):
                figures[OURS].append(bench.run("benchmarks.read", "carryall", rows=bench.rows(FEW)))
                figures[PLAIN].append(bench.run("benchmarks.read", "weasyprint", rows=bench.rows(FEW)))
                figures[LARGE].append(bench.run("benchmarks.read", "carryall", rows=bench.rows(MANY)))
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        for reader in READERS:
            ratio = median(figures[OURS], reader) / median(figures[PLAIN], reader)
            yield Target(f"{reader}, seconds / seconds with plain WeasyPrint's file", ratio, "at most", 2, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (name, f"{runs[0]['pages']:,}", *(short(median(runs, reader) * 1000) for reader in READERS))
            for name, runs in figures.items()
        ]
        return markdown(("ms per page", "pages", *READERS), rows)
