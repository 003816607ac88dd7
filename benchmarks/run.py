"""Run the benchmarks and write benchmarks/results.json, docs/benchmarks.md, its plots and the README's figures.

.venv/bin/python -m benchmarks.run [--only csv-1m] [--share 0.01]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import psycopg

from benchmarks.bench import Bench
from benchmarks.catalogue import LINES
from benchmarks.lines import Line
from benchmarks.page import Results, page, readme
from benchmarks.plots import PLOTS
from benchmarks.site import machine
from benchmarks.versions import versions
from deploy.steps import Fault, say

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"
IMAGES = PAGE.parent / "images"
README = HERE.parent / "README.md"
MAX_LOAD = 0.5
"""Maximum load average for reliable figures."""
BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->"


def main() -> None:
    options = _arguments()
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    if options.write:
        write(results)
    else:
        _measure_all(options, results)
    print(page(results))


def _measure_all(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Run the chosen benchmarks, and write the documents after each. Raise SystemExit at the end if any failed."""
    failed, load = [], os.getloadavg()[0]
    if load > MAX_LOAD:
        say(f"The machine is busy (load average {load:.1f}). Times will be too high.")
    with tempfile.TemporaryDirectory(prefix="carryall-bench-") as folder, ExitStack() as cleanup:
        bench = Bench(Path(folder), cleanup, options.share)
        results |= {"machine": machine(), "load": round(load, 2), "versions": versions(bench.database_url)}
        for line in _chosen(options.only):
            if not _measure(line, bench, results):
                failed.append(line.name)
            elif options.share == 1:
                write(results)
    if failed:
        raise SystemExit(f"Not measured: {', '.join(failed)}. The reasons are above.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[line.name for line in LINES], help="run one benchmark")
    parser.add_argument("--write", action="store_true", help="only write the documents, from the stored results")
    parser.add_argument("--share", type=float, default=1.0, help="scale row counts; below 1 nothing is written")
    return parser.parse_args()


def _chosen(only: str | None) -> Iterator[Line]:
    """Yield the benchmarks to run. Of those that share figures, yield one."""
    yield from {line.kept_as: line for line in LINES if only in (None, line.name)}.values()


def _measure(line: Line, bench: Bench, results: dict[str, Any]) -> bool:
    """Store the figures of a benchmark in `results`. If it fails, print the reason and return False."""
    begin = time.monotonic()
    try:
        figures = line.measure(bench)
    except (SystemExit, Fault, OSError, SubprocessError, psycopg.Error) as error:
        say(f"\n{line.name}: {error}")
        return False
    results["lines"][line.kept_as] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "figures": figures}
    say(f"{line.name}: measured in {time.monotonic() - begin:.0f} s")
    return True


def write(results: Results) -> None:
    """Write all documents from the results."""
    RESULTS.write_text(_as_json(results))
    PAGE.write_text(page(results))
    README.write_text(with_figures(README.read_text(), readme(results)))
    for plot in PLOTS:
        if plot.data(results):
            (IMAGES / plot.file).write_text(plot.svg(results))


def _as_json(results: Results) -> str:
    """Return the results as JSON, with one line of text per benchmark."""
    names = {name: value for name, value in results.items() if name != "lines"}
    kept = ",\n".join(f"  {json.dumps(name)}: {json.dumps(line)}" for name, line in results["lines"].items())
    return f'{json.dumps(names, indent=1)[:-2]},\n "lines": {{\n{kept}\n }}\n}}\n'


def with_figures(text: str, lines: str) -> str:
    """Return the README with these lines between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{lines}\n{end}{after}"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.settings")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: stops all started processes
    main()
