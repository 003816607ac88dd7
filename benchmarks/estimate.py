"""Accuracy of the estimated time left, before and after the site has measured a format's rate."""

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
BOUND, EXACT_SECONDS = 0.25, 1.0
"""Permitted error of an estimate: this share of the actual time left, or this number of seconds if that is more."""

Look = dict[str, Any]
"""Seconds since the click (at), progress from 0 to 1, and estimated seconds left (left)."""


class Estimate(Line):
    """The estimated time left must be good enough to plan with."""

    name = "estimate"
    title = "Time left"
    about = (
        "An otherwise idle site on PostgreSQL. `seconds_left` of the API when the progress first reaches 25, 50 and "
        "75 %, compared with the seconds until the export was seen to be READY. First on a fresh site, which has only "
        "the format's default rate (guessed), then with a measured rate. An error of up to "
        f"{EXACT_SECONDS:.0f} s counts as 0."
    )

    def measure(self, bench: Bench) -> Figures:
        bench.ledger(bench.rows(max(SIZES.values())))
        url = bench.fresh_database("estimate")
        figures: Figures = {}
        with running(bench.folder / "estimate", ALL, DATABASE_URL=url) as site:
            visitor = site.visitor(ENTERPRISE)
            for kind, rows in SIZES.items():
                with step(f"{kind}, time left"):
                    figures[kind] = {case: _poll(visitor, kind, bench.rows(rows)) for case in ("guessed", "measured")}
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind, cases in figures.items():
            errors = [_error(cases["measured"], share) for share in SHARES]
            known = [each for each in errors if each is not None]
            if known:
                yield Target(f"{kind}, largest error at 25, 50, 75 %", 100 * max(known), "at most", 100 * BOUND, "%")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (f"{kind}, {case}", short(cases[case]["seconds"]), *(_cell(cases[case], share) for share in SHARES))
            for kind, cases in figures.items()
            for case in ("guessed", "measured")
        ]
        return markdown(("", "took, s", *(f"at {share} %: estimated / actual, s" for share in SHARES)), rows)


def _poll(visitor: Visitor, kind: str, rows: int) -> dict[str, Any]:
    """Poll one export until it is ready. Return its seconds and all looks. Raise SystemExit if it fails."""
    export, begin = visitor.export(dataset="bookings", format=kind, **days(rows)), time.monotonic()
    looks: list[Look] = []
    while True:
        seen, now = visitor.look(export), time.monotonic() - begin
        if seen["state"] in FINAL or now > PATIENCE:
            if seen["state"] != "ready":
                raise SystemExit(f"Export {export} is {seen['state']} after {now:.0f} s.")
            return {"seconds": round(now, 2), "looks": looks}
        looks.append({"at": round(now, 2), "progress": seen["progress"], "left": seen.get("seconds_left")})
        time.sleep(LOOK)


def _at(case: dict[str, Any], share: int) -> Look | None:
    """Return the first look at `share` percent or more that has an estimate, or None."""
    looks: Sequence[Look] = case["looks"]
    return next((look for look in looks if (look["progress"] or 0) * 100 >= share and look["left"] is not None), None)


def _error(case: dict[str, Any], share: int) -> float | None:
    """Return the error as a share of the actual seconds left: 0 within EXACT_SECONDS seconds, None if unknown."""
    if (look := _at(case, share)) is None:
        return None
    left = case["seconds"] - look["at"]
    error = abs(look["left"] - left)
    return 0.0 if error <= EXACT_SECONDS else error / left


def _cell(case: dict[str, Any], share: int) -> str:
    look = _at(case, share)
    return "–" if look is None else f"{look['left']:.1f} / {case['seconds'] - look['at']:.1f}"
