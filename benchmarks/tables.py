"""The same day over a thousand finished exports and over a million; and the fair choice over long backlogs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.lines import Figures, Line, Target, markdown, short
from deploy.steps import ROOT, TETHERED, step

FEW, MANY = 1_000, 1_000_000
BACKLOG = 100_000
OWNERS = (1, 100, 10_000)
CHOICE = "the next part, the window being full but for one"
OWN_MANY = ("the list of somebody with many", "its last page")
"""Whose exports are a hundred times as many, too: to count one's own takes longer."""
NOISE_MS = 2.0
"""What two measurements of the same thing may differ by on this machine."""
SECONDS = 400


class Tables(Line):
    """A site that is used for years answers as one that is new."""

    name = "tables"
    title = "A million finished exports"
    about = (
        f"A PostgreSQL with {FEW:,} finished exports and one with {MANY:,} (2 parts each on the whole, every other one "
        "downloaded; one owner has a tenth of them), 20 parts that wait in both. Milliseconds in one process, Django's "
        f"own time included, the least of 20. Then the choice of the next part out of {BACKLOG:,} that wait."
    )

    def measure(self, bench: Bench) -> Figures:
        share = bench.rows(MANY) / MANY
        cases = {f"{FEW:,}": (FEW, 20, 2), f"{MANY:,}": (round(MANY * share), 20, 2)}
        cases |= {f"{owners:,} owners": (FEW, max(round(BACKLOG * share), owners), owners) for owners in OWNERS}
        return {name: _day(bench, *case) for name, case in cases.items()}

    def targets(self, figures: Figures) -> Iterator[Target]:
        few, many = figures[f"{FEW:,}"], figures[f"{MANY:,}"]
        longer = {name: many[name] - few[name] for name in few if name not in OWN_MANY}
        slowest = max(longer, key=lambda name: longer[name])
        yield Target(f"longer with a million, at the most ({slowest})", longer[slowest], "at most", NOISE_MS, "ms")
        yield Target("one's own 100,000, the last page", many[OWN_MANY[1]], "at most", 30, "ms")
        backlogs = [figures[f"{owners:,} owners"][CHOICE] for owners in OWNERS]
        yield Target(f"the choice among {BACKLOG:,} parts, at the most", max(backlogs), "at most", 20, "ms")

    def table(self, figures: Figures) -> list[str]:
        few, many = figures[f"{FEW:,}"], figures[f"{MANY:,}"]
        rows = [(name, short(few[name]), short(many[name])) for name in few]
        choices = [(f"{owners:,}", short(figures[f"{owners:,} owners"][CHOICE])) for owners in OWNERS]
        return [
            *markdown(("milliseconds", f"{FEW:,}", f"{MANY:,}"), rows),
            "",
            *markdown((f"owners of {BACKLOG:,} waiting parts", "milliseconds of the choice"), choices),
        ]


def _day(bench: Bench, past: int, backlog: int, owners: int) -> dict[str, float]:
    """The times of a process of its own, with a database of its own."""
    url = bench.fresh_database("tables")
    command = [*TETHERED, sys.executable, "-m", "benchmarks.day", str(past), str(backlog), str(owners)]
    own = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "benchmarks.settings", "VAR_DIR": str(bench.folder / "var")}
    with step(f"{past:,} finished, {backlog:,} parts of {owners:,} owners wait"):
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS
        )
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
