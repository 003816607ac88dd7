"""What the page says is left, against what was left: on a site that guesses a format's rate, and once it knows it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.bench import Bench
from benchmarks.lines import Figures, Line, Target, markdown, short
from benchmarks.site import ALL, ENTERPRISE, FINAL, Visitor, running
from benchmarks.workers import days
from deploy.steps import step

SIZES = {"xlsx": 400_000, "pdf": 400_000}
SHARES = (25, 50, 75)
PATIENCE, LOOK = 180, 0.25
BOUND, AT_LEAST = 0.25, 1.0
"""How wrong an estimate may be: by this share of what was left, or by so many seconds."""

Look = dict[str, Any]
"""Seconds since the click, the progress from 0 to 1, and the seconds that are said to be left."""


class Estimate(Line):
    """The time left is told so that people can plan with it."""

    name = "estimate"
    title = "Time left"
    about = (
        "A site on PostgreSQL with nothing else to do. `seconds_left` of the API at the moment when the progress first "
        "passes 25, 50 and 75 %, against the seconds until READY was seen. First on a fresh site, which has only the "
        "format's own guess of its rate, then once it has measured. An estimate that misses by less than "
        f"{AT_LEAST:.0f} s counts as exact."
    )

    def measure(self, bench: Bench) -> Figures:
        bench.ledger(bench.rows(max(SIZES.values())))
        url = bench.fresh_database("estimate")
        figures: Figures = {}
        with running(bench.folder / "estimate", ALL, DATABASE_URL=url) as here:
            person = here.visitor(ENTERPRISE)
            for kind, rows in SIZES.items():
                with step(f"{kind}, estimated"):
                    figures[kind] = {case: _follow(person, kind, bench.rows(rows)) for case in ("guessed", "measured")}
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind, cases in figures.items():
            wrong = [_error(cases["measured"], share) for share in SHARES]
            known = [each for each in wrong if each is not None]
            if known:
                yield Target(f"{kind}, worst error at 25, 50, 75 %", 100 * max(known), "at most", 100 * BOUND, "%")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (f"{kind}, {case}", short(cases[case]["seconds"]), *(_said(cases[case], share) for share in SHARES))
            for kind, cases in figures.items()
            for case in ("guessed", "measured")
        ]
        return markdown(("", "took, s", *(f"at {share} %: said / was, s" for share in SHARES)), rows)


def _follow(person: Visitor, kind: str, rows: int) -> dict[str, Any]:
    """Every look at one export."""
    export, began = person.export(dataset="bookings", format=kind, **days(rows)), time.monotonic()
    looks: list[Look] = []
    while True:
        seen, now = person.look(export), time.monotonic() - began
        if seen["state"] in FINAL or now > PATIENCE:
            if seen["state"] != "ready":
                raise SystemExit(f"Export {export} is {seen['state']} after {now:.0f} s.")
            return {"seconds": round(now, 2), "looks": looks}
        looks.append({"at": round(now, 2), "progress": seen["progress"], "left": seen.get("seconds_left")})
        time.sleep(LOOK)


def _at(case: dict[str, Any], share: int) -> Look | None:
    """The first look that saw at least `share` percent and was told a time."""
    looks: Sequence[Look] = case["looks"]
    return next((look for look in looks if (look["progress"] or 0) * 100 >= share and look["left"] is not None), None)


def _error(case: dict[str, Any], share: int) -> float | None:
    """By what share of the seconds that were left the estimate was wrong; 0 within AT_LEAST seconds."""
    if (look := _at(case, share)) is None:
        return None
    left = case["seconds"] - look["at"]
    wrong = abs(look["left"] - left)
    return 0.0 if wrong <= AT_LEAST else wrong / left


def _said(case: dict[str, Any], share: int) -> str:
    look = _at(case, share)
    return "–" if look is None else f"{look['left']:.1f} / {case['seconds'] - look['at']:.1f}"
