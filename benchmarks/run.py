"""Measure everything, write benchmarks/results.json, and from it docs/benchmarks.md and the README's figures.

.venv/bin/python -m benchmarks.run [--only formats|click]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import click, formats
from benchmarks.site import machine, running

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"
README = HERE.parent / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("formats", "click"))
    only = parser.parse_args().only
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="carryall-bench-") as folder:
        if only in (None, "formats"):
            with running(Path(folder) / "formats") as here:
                results["formats"] = formats.measure(here)
        if only in (None, "click"):
            with running(Path(folder) / "click", ["web"]) as here:
                results["click"] = click.measure(here)
    results["machine"], results["date"] = machine(), f"{datetime.now(UTC):%Y-%m-%d}"
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    PAGE.write_text(page(results))
    README.write_text(_with_figures(README.read_text(), figures(results)))
    print(PAGE.read_text())


def _with_figures(readme: str, lines: str) -> str:
    before, begin, rest = readme.partition("<!-- figures: written by `make bench` -->\n")
    _, end, after = rest.partition("<!-- end of figures -->")
    return f"{before}{begin}{lines}\n{end}{after}"


def figures(results: dict[str, Any]) -> str:
    """The README's few lines of them."""
    large = {row["format"]: row for row in results["formats"] if row["rows"] >= 100_000}
    clicks = results["click"]
    lines = [
        f"- {kind.upper()}: {row['rows']:,} rows in {row['seconds']} s in one process, peak {row['peak_mb']} MB."
        for kind, row in large.items()
    ]
    silent, gone = clicks["redis silent"]["median_ms"], clicks["redis gone"]["median_ms"]
    lines.append(
        f"- The click is answered in {clicks['redis up']['median_ms']} ms (median); {gone} ms with Redis gone, "
        f"{silent} ms with a Redis that is there but silent."
    )
    return "\n".join(lines)


def page(results: dict[str, Any]) -> str:
    """The figures as Markdown; a test compares it with docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` from `benchmarks/results.json`; not by hand.",
        "",
        f"{results['date']}, {results['machine']}.",
        f"Medians of {formats.RUNS} fresh processes, and of {click.CLICKS} clicks.",
        "",
        "## One export in one process",
        "",
        "`manage.py export --inline` of the demo's orders (12 columns); seconds and memory are of the whole process,",
        "so about a second and 75 MB of each line are Django's own start.",
        "",
        "| format | rows | seconds | rows/s | peak MB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['format']} | {row['rows']:,} | {row['seconds']} | {row['rows_per_second']:,} | {row['peak_mb']} |"
        for row in results["formats"]
    ]
    lines += ["", "## The click", "", "| | median ms | worst ms |", "|---|---|---|"]
    lines += [f"| {case} | {row['median_ms']} | {row['worst_ms']} |" for case, row in results["click"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
