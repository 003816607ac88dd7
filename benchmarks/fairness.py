"""A small export beside ten big ones of another owner, and the same big exports inside requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date, timedelta
from http import HTTPStatus
from typing import Self

from benchmarks.bench import Bench, Run
from benchmarks.lines import Figures, Line, Target, markdown, median, percentile, short
from benchmarks.site import ALL, ENTERPRISE, FINAL, SMALL, Site, Visitor, running
from benchmarks.workers import seconds_between
from deploy.http import Browser
from deploy.steps import Fault, step

BIG = 10
"""Exports of the demo's enterprise customer in progress at any time: 160,000 orders each, alternately CSV and PDF."""
TURNS = 7
FORMATS = ("csv", "pdf")
MAX_DELAY = 2.0
"""Seconds by which the big exports may delay a small one."""
PROBES, PROBE_PAUSE, PROBE_SECONDS = 60, 0.1, 60.0


class Fairness(Line):
    """A small export must not wait behind the big exports of another owner."""

    name = "fairness"
    title = "A small export beside ten big ones"
    about = (
        f"A whole site on PostgreSQL with the demo shop. One customer exports 50 orders {TURNS} times as CSV and "
        f"{TURNS} times as PDF, while another one keeps {BIG} exports of 160,000 orders in progress: when one ends, "
        "the next is requested. Seconds from the click to READY by the database's clock."
    )

    def measure(self, bench: Bench) -> Figures:
        url = bench.fresh_database("fairness")
        with running(bench.folder / "fairness", ALL, DATABASE_URL=url) as site:
            visitor = site.visitor(SMALL)
            _small_ones(visitor, 1)  # warm-up: imports and connections
            with step("alone"):
                alone = _small_ones(visitor, TURNS)
            with step(f"beside {BIG} big ones"), Crowd(site) as crowd:
                beside = _small_ones(visitor, TURNS)
        return {"alone": alone, "beside": beside, "big_ones_ended": crowd.ended}

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind in FORMATS:
            longer = median(figures["beside"][kind]) - median(figures["alone"][kind])
            yield Target(f"{kind}, delay caused by the big exports", longer, "at most", MAX_DELAY, "s")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (f"{kind}, {case}", short(median(runs)), f"{max(run['seconds'] for run in runs):.2f}")
            for case in ("alone", "beside")
            for kind, runs in figures[case].items()
        ]
        ended = f"{figures['big_ones_ended']} of the big exports ended during the measurement."
        return [*markdown(("50 orders", "median seconds", "maximum"), rows), "", ended]


def _small_ones(visitor: Visitor, turns: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {kind: [] for kind in FORMATS}
    for _ in range(turns):
        for kind in FORMATS:
            seen = visitor.wait(visitor.export(dataset="orders", format=kind, period="all"), 60)
            runs[kind].append({"rows": seen["rows_done"], "seconds": seconds_between(seen)})
            time.sleep(0.2)  # so that each starts at a different point of the big exports' parts
    return runs


class Crowd(AbstractContextManager["Crowd"]):
    """Keeps BIG big exports in progress during the block. Cancels the unfinished ones at its end."""

    def __init__(self, site: Site) -> None:
        self.ended = 0
        self._requested = 0
        self._visitor = site.visitor(ENTERPRISE)
        self._open: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)

    def __enter__(self) -> Self:
        self._fill()
        time.sleep(2)  # until they are planned and the workers have started
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for export in self._open:
            self._visitor.cancel(export)

    def _keep_up(self) -> None:
        while not self._stop.wait(0.2):
            running_exports = [export for export in self._open if self._visitor.look(export)["state"] not in FINAL]
            self.ended += len(self._open) - len(running_exports)
            self._open = running_exports
            self._fill()

    def _fill(self) -> None:
        """Request exports until BIG are open.

        Each has another end date, so that it is a new export. All of them contain all orders.
        """
        while len(self._open) < BIG:
            self._requested += 1
            period = {"period": "custom", "date_from": "2020-01-01", "date_to": f"{_days_from_now(self._requested)}"}
            kind = FORMATS[self._requested % len(FORMATS)]
            self._open.append(self._visitor.export(dataset="orders", format=kind, **period))


def _days_from_now(days: int) -> date:
    return date.today() + timedelta(days=days)  # noqa: DTZ011 - any day after the last order


class Synchronous(Line):
    """Response time of a site that writes its exports inside requests."""

    name = "synchronous"
    title = "The same exports inside requests"
    about = (
        "The same web server with one more view (`benchmarks/synchronous.py`), which writes the export of 160,000 "
        "orders before it responds. Twice as many users as the server has threads request one (CSV). Meanwhile another "
        f"client requests `/healthz`, {PROBES} times or until all users have their file. For comparison: the same "
        "orders exported with the button and written by the workers."
    )

    def measure(self, bench: Bench) -> Figures:
        from deploy.gunicorn_conf import threads, workers

        url = bench.fresh_database("synchronous")
        environment = {"DATABASE_URL": url, "BENCHMARK_URLS": "benchmarks.synchronous"}
        with running(bench.folder / "synchronous", ALL, **environment) as site:
            _probe(site, 5)  # warm-up: imports
            figures: Figures = {"idle": _probe(site, PROBES)}
            with step("in the workers"), Crowd(site):
                figures["in the workers"] = _probe(site, PROBES)
            with step("in requests"), _synchronous_exports(site, 2 * workers * threads) as unfinished:
                time.sleep(1)
                figures["in requests"] = _probe(site, PROBES, unfinished)
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        worst = {case: max(times) for case, times in figures.items()}
        slower = worst["in requests"] / worst["in the workers"]
        yield Target("slowest /healthz, in requests / in the workers", slower, "at least", 10, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (case, len(times), *(f"{percentile(times, share):.1f}" for share in (50, 99, 100)))
            for case, times in figures.items()
        ]
        return markdown(("ms until /healthz responds, exports", "requests", "median", "p99", "maximum"), rows)


def _probe(site: Site, count: int, unfinished: Callable[[], bool] = lambda: True) -> list[float]:
    """Return the milliseconds until /healthz responded, or those of PROBE_SECONDS if it failed or timed out."""
    times: list[float] = []
    while len(times) < count and unfinished():
        begin = time.perf_counter()
        try:
            answered = Browser(site.url, seconds=PROBE_SECONDS).get("/healthz").status == HTTPStatus.OK
        except Fault:
            answered = False
        times.append(round((time.perf_counter() - begin) * 1000 if answered else PROBE_SECONDS * 1000, 2))
        time.sleep(PROBE_PAUSE)
    return times


@contextmanager
def _synchronous_exports(site: Site, users: int) -> Iterator[Callable[[], bool]]:
    """Request a synchronous export for each of `users` users. Yield a function: is any of them unfinished?"""
    browsers = [site.visitor(ENTERPRISE).browser for _ in range(users)]
    threads = [threading.Thread(target=_request_export, args=(browser,), daemon=True) for browser in browsers]
    with ExitStack() as cleanup:
        for thread in threads:
            thread.start()
            cleanup.callback(thread.join, 300)
        yield lambda: any(thread.is_alive() for thread in threads)


def _request_export(browser: Browser) -> None:
    try:
        browser.get("/synchronous/csv/")
    except Fault as fault:  # the server aborted the request
        print(fault)
