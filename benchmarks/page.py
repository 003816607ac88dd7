"""Text written from the results: docs/benchmarks.md and the figures in the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.catalogue import LINES
from benchmarks.click import LABELS
from benchmarks.contests import OURS
from benchmarks.lines import ROUNDS, Line, Target, highest, markdown, median, percentile, rate, short
from benchmarks.plots import PLOTS

Results = Mapping[str, Any]


def page(results: Results) -> str:
    """Return the text of docs/benchmarks.md. A test compares it with the file."""
    return (
        "\n".join([*_head(results), *_summary(results), *_plots(results), *_sections(results), *_versions(results)])
        + "\n"
    )


def _head(results: Results) -> list[str]:
    return [
        "# Benchmarks",
        "",
        "`make bench` writes this page from `benchmarks/results.json`. Do not edit it by hand.",
        "`make bench ONLY=csv-1m` repeats one benchmark and keeps the results of the others.",
        "",
        f"Machine: {results['machine']}; load average before the last session: {results['load']}.",
        "",
        f"Unless stated otherwise, a figure is the median of {ROUNDS} fresh processes, and a peak is their maximum.",
        "Carryall and its peers alternate in one session (A B A B A B), read the same rows from the same PostgreSQL on",
        "the same machine, and write a file. Each process first writes a file of one row, which is not measured, so",
        "that modules are imported and connections are open, as in a worker that makes many exports. Work that takes",
        "less than half a second is repeated until half a second has passed; its median counts.",
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
    return ["## Targets", "", *markdown(("benchmark", "measure", "figure", "target", "met"), rows, texts=2), ""]


def measured(results: Results) -> Iterator[tuple[Line, Any]]:
    """Yield the benchmarks that have figures, with their figures."""
    for line in LINES:
        if line.kept_as in results["lines"]:
            yield line, results["lines"][line.kept_as]["figures"]


def _figure(target: Target) -> str:
    return f"{short(target.figure)} {target.unit}".strip()


def _bound(target: Target) -> str:
    return f"{'≥' if target.sense == 'at least' else '≤'} {target.bound:g} {target.unit}".strip()


def _anchor(line: Line) -> str:
    """Return GitHub's anchor for the heading: letters, digits and hyphens of the title, in lower case."""
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
    """Return the most important figures as a Markdown list, for the README."""
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
            f"peak memory {short(highest(ours))} MB{_beside(found.get('pdf-8k'), 'rows/s at 8,000 rows')}."
        )


def _contest(found: Mapping[str, Any], name: str, kind: str) -> Iterator[str]:
    if figures := found.get(name):
        ours = figures[OURS]
        size = f"{ours[0]['rows']:,} rows in {short(median(ours))} s, peak memory {short(highest(ours))} MB"
        yield f"{kind}: {size}{_beside(figures)}."


def _beside(figures: Mapping[str, Any] | None, of: str = "rows/s") -> str:
    """Return the ratios to the peers in parentheses, for the end of a sentence."""
    if not figures:
        return ""
    ours = rate(figures[OURS])
    ratios = [f"{short(ours / rate(runs))} × {name}" for name, runs in figures.items() if name != OURS]
    return f" ({of}: {', '.join(ratios)})"


def _memory(found: Mapping[str, Any]) -> Iterator[str]:
    if figures := found.get("memory"):
        peaks = {kind: highest(runs[max(runs, key=int)]) or 0 for kind, runs in figures.items()}
        most = max(peaks, key=lambda kind: peaks[kind])
        yield f"Memory at 1,000,000 rows: at most {short(peaks[most])} MB per process ({most.upper()})."


def _click(found: Mapping[str, Any]) -> Iterator[str]:
    if figures := found.get("click"):
        each = [
            f"{percentile(times, 50):.0f} ms ({LABELS.get(case, case)})" for case, times in figures["times"].items()
        ]
        yield f"Median response time of the click: {', '.join(each)}."
