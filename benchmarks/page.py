"""The figures as documents: docs/benchmarks.md, and the README's few lines of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.catalogue import LINES
from benchmarks.contests import OURS
from benchmarks.lines import ROUNDS, Line, Target, highest, markdown, median, percentile, rate, short
from benchmarks.plots import PLOTS

Results = Mapping[str, Any]


def page(results: Results) -> str:
    """docs/benchmarks.md; a test compares it."""
    return (
        "\n".join([*_head(results), *_summary(results), *_plots(results), *_sections(results), *_versions(results)])
        + "\n"
    )


def _head(results: Results) -> list[str]:
    return [
        "# Benchmarks",
        "",
        "Written by `make bench` from `benchmarks/results.json`; not by hand. `make bench ONLY=csv-1m` measures one",
        "line of the table anew and leaves the others as they are.",
        "",
        f"Machine: {results['machine']}; load average {results['load']} before the last session began.",
        "",
        f"Every figure is the median of {ROUNDS} fresh processes where nothing else is said; a peak is the highest of",
        "them. Who is compared takes turns in one session (A B A B A B), reads the same rows of the same PostgreSQL on",
        "the same machine, and leaves a file. Each process, ours or a peer's, first does a file of one row, which is",
        "not measured: then all is imported and connected, as in a worker that lives for many exports. What is over",
        "in less than half a second is done again until that has passed, and counts with its median.",
        "",
    ]


def _summary(results: Results) -> list[str]:
    rows = [
        (
            f"[{line.name}](#{_anchor(line)})",
            target.what,
            _figure(target),
            _bound(target),
            "yes" if target.met else "**no**",
        )
        for line, figures in measured(results)
        for target in line.targets(figures)
    ]
    return ["## Targets", "", *markdown(("line", "what", "figure", "target", "met"), rows, texts=2), ""]


def measured(results: Results) -> Iterator[tuple[Line, Any]]:
    """The lines that have figures, with them."""
    for line in LINES:
        if line.kept_as in results["lines"]:
            yield line, results["lines"][line.kept_as]["figures"]


def _figure(target: Target) -> str:
    return f"{short(target.figure)} {target.unit}".strip()


def _bound(target: Target) -> str:
    return f"{'≥' if target.sense == 'at least' else '≤'} {target.bound:g} {target.unit}".strip()


def _anchor(line: Line) -> str:
    """As GitHub makes it of a heading: letters, digits and hyphens of the title, in lower case."""
    return "".join(letter for letter in line.title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def _plots(results: Results) -> list[str]:
    return [text for plot in PLOTS if plot.data(results) for text in (f"![{plot.alt}](images/{plot.file})", "")]


def _sections(results: Results) -> list[str]:
    lines: list[str] = []
    for line, figures in measured(results):
        when = results["lines"][line.kept_as]["date"]
        lines += [f"## {line.title}", "", f"{line.about} ({when})", "", *line.table(figures), ""]
    return lines


def _versions(results: Results) -> list[str]:
    return ["## Versions", "", *markdown(("", "version"), results["versions"].items(), texts=2)]


def readme(results: Results) -> str:
    """The handful of figures that a reader of the README wants."""
    found = {line.name: figures for line, figures in measured(results)}
    lines = [
        *_pdf(found),
        *_contest(found, "csv-1m", "CSV"),
        *_contest(found, "xlsx-1m", "XLSX"),
        *_memory(found),
        *_click(found),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _pdf(found: Mapping[str, Any]) -> Iterator[str]:
    if figures := found.get("pdf-600k"):
        ours = figures[OURS]
        yield (
            f"PDF: {ours[0]['rows']:,} rows, {ours[0]['pages']:,} pages, in {short(median(ours))} s in one process, "
            f"peak {short(highest(ours))} MB{_beside(found.get('pdf-8k'), 'rows/s at 8,000 rows')}."
        )


def _contest(found: Mapping[str, Any], name: str, kind: str) -> Iterator[str]:
    if figures := found.get(name):
        ours = figures[OURS]
        size = f"{ours[0]['rows']:,} rows in {short(median(ours))} s, peak {short(highest(ours))} MB"
        yield f"{kind}: {size}{_beside(figures)}."


def _beside(figures: Mapping[str, Any] | None, of: str = "rows/s") -> str:
    """By how much others are outdone, as the end of a sentence."""
    if not figures:
        return ""
    ours = rate(figures[OURS])
    ratios = [f"{short(ours / rate(runs))} × {name}" for name, runs in figures.items() if name != OURS]
    return f" ({of}: {', '.join(ratios)})"


def _memory(found: Mapping[str, Any]) -> Iterator[str]:
    if figures := found.get("memory"):
        peaks = {kind: highest(runs[max(runs, key=int)]) or 0 for kind, runs in figures.items()}
        most = max(peaks, key=lambda kind: peaks[kind])
        yield f"Memory at a million rows: at most {short(peaks[most])} MB for a process ({most.upper()})."


def _click(found: Mapping[str, Any]) -> Iterator[str]:
    if figures := found.get("click"):
        each = [f"{percentile(times, 50):.0f} ms ({case})" for case, times in figures["times"].items()]
        yield f"The click is answered in, median: {', '.join(each)}."
