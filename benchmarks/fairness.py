"""A small export while ten big ones of somebody else are at work, and the same big ones inside of requests."""

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
"""Exports of the demo's enterprise customer at work at any moment: 160,000 orders each, CSV and PDF in turn."""
TURNS = 7
FORMATS = ("csv", "pdf")
BEHIND = 2.0
"""Seconds that a small export may take longer than alone."""
PROBES, PROBE_PAUSE, PROBE_SECONDS = 60, 0.1, 60.0


class Fairness(Line):
    """Nobody stands behind somebody else's ten big exports."""

    name = "fairness"
    title = "A small export beside ten big ones"
    about = (
        f"A whole site on PostgreSQL with the demo shop. One customer asks for 50 orders, as CSV and as PDF {TURNS} "
        f"times each, while another one has {BIG} exports of 160,000 orders at work; whenever one of those ends, the "
        "next is asked for. From the click to READY by the database's clock."
    )

    def measure(self, bench: Bench) -> Figures:
        url = bench.fresh_database("fairness")
        with running(bench.folder / "fairness", ALL, DATABASE_URL=url) as here:
            person = here.visitor(SMALL)
            _small_ones(person, 1)  # the first ones import and connect
            with step("alone"):
                alone = _small_ones(person, TURNS)
            with step(f"beside {BIG} big ones"), Crowd(here) as crowd:
                beside = _small_ones(person, TURNS)
        return {"alone": alone, "beside": beside, "big_ones_ended": crowd.ended}

    def targets(self, figures: Figures) -> Iterator[Target]:
        for kind in FORMATS:
            longer = median(figures["beside"][kind]) - median(figures["alone"][kind])
            yield Target(f"{kind}, longer than alone by", longer, "at most", BEHIND, "s")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (f"{kind}, {case}", short(median(runs)), f"{max(run['seconds'] for run in runs):.2f}")
            for case in ("alone", "beside")
            for kind, runs in figures[case].items()
        ]
        ended = f"{figures['big_ones_ended']} of the big ones came to their end meanwhile."
        return [*markdown(("50 orders", "median seconds", "worst"), rows), "", ended]


def _small_ones(person: Visitor, turns: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {kind: [] for kind in FORMATS}
    for _ in range(turns):
        for kind in FORMATS:
            seen = person.wait(person.export(dataset="orders", format=kind, period="all"), 60)
            runs[kind].append({"rows": seen["rows_done"], "seconds": seconds_between(seen)})
            time.sleep(0.2)  # so that each begins at another moment of the big ones' parts
    return runs


class Crowd(AbstractContextManager["Crowd"]):
    """Keeps BIG big exports at work inside the block; cancels what is left of them at its end."""

    def __init__(self, here: Site) -> None:
        self.ended = 0
        self._asked = 0
        self._person = here.visitor(ENTERPRISE)
        self._open: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)

    def __enter__(self) -> Self:
        self._ask()
        time.sleep(2)  # until they are planned and the workers have begun
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for export in self._open:
            self._person.cancel(export)

    def _keep_up(self) -> None:
        while not self._over.wait(0.2):
            going = [export for export in self._open if self._person.look(export)["state"] not in FINAL]
            self.ended += len(self._open) - len(going)
            self._open = going
            self._ask()

    def _ask(self) -> None:
        """Up to another day each, or it would be the same export; all of them have all the orders."""
        while len(self._open) < BIG:
            self._asked += 1
            period = {"period": "custom", "date_from": "2020-01-01", "date_to": f"{_later(self._asked)}"}
            kind = FORMATS[self._asked % len(FORMATS)]
            self._open.append(self._person.export(dataset="orders", format=kind, **period))


def _later(days: int) -> date:
    return date.today() + timedelta(days=days)  # noqa: DTZ011 - any day after the last order


class Synchronous(Line):
    """What the same work does to a site that does it in the request."""

    name = "synchronous"
    title = "The same inside of requests"
    about = (
        "The same web server with one more view (`benchmarks/synchronous.py`), which writes the export of 160,000 "
        "orders before it answers. Twice as many people as the server has threads ask for one (CSV); meanwhile "
        f"somebody else asks for `/healthz`, {PROBES} times or until they are done. Beside it: the same orders asked "
        "for with the button, and written by the workers."
    )

    def measure(self, bench: Bench) -> Figures:
        from deploy.gunicorn_conf import threads, workers

        url = bench.fresh_database("synchronous")
        environment = {"DATABASE_URL": url, "BENCHMARK_URLS": "benchmarks.synchronous"}
        with running(bench.folder / "synchronous", ALL, **environment) as here:
            _probe(here, 5)  # the first ones import
            figures: Figures = {"idle": _probe(here, PROBES)}
            with step("in the workers"), Crowd(here):
                figures["in the workers"] = _probe(here, PROBES)
            with step("in requests"), _asking(here, 2 * workers * threads) as still:
                time.sleep(1)
                figures["in requests"] = _probe(here, PROBES, still)
        return figures

    def targets(self, figures: Figures) -> Iterator[Target]:
        worst = {case: max(times) for case, times in figures.items()}
        slower = worst["in requests"] / worst["in the workers"]
        yield Target("worst /healthz, in requests to in the workers", slower, "at least", 10, "×")

    def table(self, figures: Figures) -> list[str]:
        rows = [
            (case, len(times), *(f"{percentile(times, share):.1f}" for share in (50, 99, 100)))
            for case, times in figures.items()
        ]
        return markdown(("ms until /healthz answers, the exports", "asked", "median", "p99", "worst"), rows)


def _probe(here: Site, count: int, still: Callable[[], bool] = lambda: True) -> list[float]:
    """Milliseconds until /healthz has answered; PROBE_SECONDS where it has not by then."""
    times: list[float] = []
    while len(times) < count and still():
        began = time.perf_counter()
        try:
            answered = Browser(here.url, seconds=PROBE_SECONDS).get("/healthz").status == HTTPStatus.OK
        except Fault:
            answered = False
        times.append(round((time.perf_counter() - began) * 1000 if answered else PROBE_SECONDS * 1000, 2))
        time.sleep(PROBE_PAUSE)
    return times


@contextmanager
def _asking(here: Site, people: int) -> Iterator[Callable[[], bool]]:
    """So many people wait for a synchronous export each; yields whether one of them still does."""
    browsers = [here.visitor(ENTERPRISE).browser for _ in range(people)]
    threads = [threading.Thread(target=_ask_and_wait, args=(browser,), daemon=True) for browser in browsers]
    with ExitStack() as ended:
        for thread in threads:
            thread.start()
            ended.callback(thread.join, 300)
        yield lambda: any(thread.is_alive() for thread in threads)


def _ask_and_wait(browser: Browser) -> None:
    try:
        browser.get("/synchronous/csv/")
    except Fault as fault:  # the server has given it up
        print(fault)
