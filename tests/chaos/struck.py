"""The part of a run with faults: requests and faults by the plan, the wait for the last export, and the counts."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

from tests.chaos import report
from tests.chaos.faults import Fault, Scene
from tests.chaos.fetcher import Fetcher
from tests.chaos.ledgers import gather
from tests.chaos.load import Crowd, settle
from tests.chaos.observer import Observer
from tests.chaos.plan import Plan
from tests.chaos.site import Site
from tests.chaos.striker import Striker
from tests.chaos.verdict import Gate, counts, gates

SETTLE, SETTLE_SHORT = 420.0, 120.0
"""Seconds after the last click until an export without a final state counts as lost."""
FETCH = 120.0


def run(
    site: Site, plan: Plan, known: dict[str, Fault], fetcher: Fetcher, references: dict[str, str], ended: ExitStack,
    *, short: bool,
) -> tuple[dict[str, Any], list[Gate], dict[str, Any]]:  # fmt: skip
    """Return the counts, the gates and further results. `ended` stops the threads before the site."""
    (folder := site.folder / "struck").mkdir()
    crowd, observer, fetcher = Crowd(site, folder), Observer(site.database(), site.manager.deaths), fetcher.again()
    for thing in (crowd, observer, fetcher):
        ended.callback(thing.stop)
    observer.start()
    fetcher.start()
    begin, first = time.monotonic(), time.time()
    clicking = threading.Thread(target=crowd.press_all, args=(plan.requests, begin), name="clicks", daemon=True)
    clicking.start()
    Striker(Scene(site, observer.holders), known, site.folder).run(plan.strikes, begin)
    clicking.join()
    crowd.finish()
    settle(site.database(), SETTLE_SHORT if short else SETTLE)
    seconds = round(time.monotonic() - begin, 1)
    fetcher.fetch_all(FETCH)
    observer.finish()
    counted = counts(gather(site, folder, crowd, observer, (first, time.time()), references))
    more = {
        "seconds": seconds, "planned_seconds": round(plan.seconds, 1), "broken_downloads": fetcher.broken,
        "versions": report.versions(broker=f"{site.broker.name} {site.broker.version()}"),
    }  # fmt: skip
    return counted, gates(counted), more
