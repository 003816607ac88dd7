"""Everyday operations with a thousand and with a million finished exports, and the fair choice from long backlogs."""

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
"""The exports of this owner grow with the total, so counting them takes longer."""
NOISE_MS = 2.0
"""Possible difference between two measurements of the same operation on this machine, in milliseconds."""
SECONDS = 400
"""Timeout of one process."""
LABELS = {
    "the click": "request an export (the click)",
    "a part's beginning and end": "claim and release a part",
    "filling the window": "fill the window",
    CHOICE: "choose the next part, with one free place in the window",
    "what is due to be joined": "find exports that are ready to assemble",
    "the sweep": "sweep",
    "a measured rate": "look up a measured rate",
    "the list of somebody with few": "list of exports, owner with few",
    "the list of somebody with many": "list of exports, owner with many: first page",
    "its last page": "list of exports, owner with many: last page",
    "an export's progress": "progress of an export",
    "cancelling": "cancel an export",
    "taking a file away": "expire an export",
    "purge: what expires": "purge: expire due exports",
    "purge: parts left behind": "purge: delete abandoned parts",
    "purge: whose file is it, 20 times": "purge: look up references to 20 files",
    "purge: what is old": "purge: delete old exports",
}
"""How the page names the operations of results.json."""


class Tables(Line):
    """A site must be as fast after years of use as a new one."""

    name = "tables"
    title = "A million finished exports"
    about = (
        f"One PostgreSQL database with {FEW:,} finished exports and one with {MANY:,}. An export has 2 parts on "
        "average, every other one has been downloaded, and one owner has a tenth of them. Both have 20 waiting parts. "
        "Milliseconds in one process, including Django's own time, the minimum of 20 runs. Then the choice of the next "
        f"part from {BACKLOG:,} waiting ones."
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
        what = f"largest increase with {MANY:,} exports ({LABELS.get(slowest, slowest)})"
        yield Target(what, longer[slowest], "at most", NOISE_MS, "ms")
        yield Target("last page of an owner's 100,000 exports", many[OWN_MANY[1]], "at most", 30, "ms")
        backlogs = [figures[f"{owners:,} owners"][CHOICE] for owners in OWNERS]
        yield Target(f"choice of the next part from {BACKLOG:,}, maximum", max(backlogs), "at most", 20, "ms")

    def table(self, figures: Figures) -> list[str]:
        few, many = figures[f"{FEW:,}"], figures[f"{MANY:,}"]
        rows = [(LABELS.get(name, name), short(few[name]), short(many[name])) for name in few]
        choices = [(f"{owners:,}", short(figures[f"{owners:,} owners"][CHOICE])) for owners in OWNERS]
        return [
            *markdown(("operation, ms", f"{FEW:,}", f"{MANY:,}"), rows),
            "",
            *markdown((f"owners of {BACKLOG:,} waiting parts", "milliseconds for the choice"), choices),
        ]


def _day(bench: Bench, past: int, backlog: int, owners: int) -> dict[str, float]:
    """Run benchmarks.day in a fresh process on a fresh database. Return its times."""
    url = bench.fresh_database("tables")
    command = [*TETHERED, sys.executable, "-m", "benchmarks.day", str(past), str(backlog), str(owners)]
    own = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "benchmarks.settings", "VAR_DIR": str(bench.folder / "var")}
    with step(f"{past:,} finished, {backlog:,} waiting parts of {owners:,} owners"):
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS
        )
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
