"""A run from the first process to the verdict, in a folder that is removed if every gate holds."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.chaos import control_run, lines, load, report, struck
from tests.chaos.faults import Fault, faults, weights
from tests.chaos.fetcher import Fetcher
from tests.chaos.ledgers import CALM, contents_of
from tests.chaos.load import Crowd, plain, settle
from tests.chaos.plan import Plan, Request, Spec, make, specs
from tests.chaos.site import Options, Site

FIRST_CALM, BURST = 8_000, 9_000
"""First request numbers of the two batches before the faults."""
BURST_SIZE = 120
FIRST_GUESS = 4.0
"""Exports per second that a short run is planned for. It is too short to measure the capacity."""


@dataclass(frozen=True)
class Choice:
    """Options of a run, as given on the command line."""

    number: int = 300
    seed: int = 1
    database: str = "postgresql"
    broker: str = "redis"
    load: float = 0.5
    rate: float = 0.0
    """Capacity in exports per second. Measured if 0."""
    short: bool = False
    one_machine: bool = False
    control: bool = False
    keep: bool = False

    @property
    def options(self) -> Options:
        return Options(self.database, self.broker, quick=self.short, one_machine=self.one_machine)


def run(choice: Choice, var: Path) -> dict[str, Any]:
    """Run it, write the result to a file in `var`, and return the result."""
    folder = Path(tempfile.mkdtemp(prefix="carryall-chaos-"))
    what = "exports of the control" if choice.control else "exports"
    report.say(f"{choice.number} {what} on {choice.database} and {choice.broker}, seed {choice.seed}, in {folder}.")
    with ExitStack() as ended:
        found = _run_control(choice, folder, var, ended) if choice.control else _run_site(choice, folder, ended)
    path = report.keep(found, var)
    report.say(report.table(found))
    if all(found["gates"].values()) and not found["counts"]["unexpected_exits"] and not choice.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        report.say(f"Kept: {folder}")
    report.say(f"Result: {path}")
    return found


def _run_site(choice: Choice, folder: Path, ended: ExitStack) -> dict[str, Any]:
    site = _start(Site(folder, choice.options), ended)
    fetcher = Fetcher(site)
    ended.callback(fetcher.stop)
    references = _references(site, fetcher, specs(choice.seed, choice.number))
    rate = choice.rate or (FIRST_GUESS if choice.short else _capacity(site, choice.seed))
    known, plan = _planned(choice, rate)
    counted, gates, more = struck.run(site, plan, known, fetcher, references, ended, short=choice.short)
    return report.result(asdict(choice), counted, gates, rate=round(rate, 2), **more)


def _run_control(choice: Choice, folder: Path, var: Path, ended: ExitStack) -> dict[str, Any]:
    """Run the same plan with plain Celery, at the capacity of the site's run with the same seed if there is one."""
    site_result = report.place(asdict(choice) | {"control": False}, var)
    rate = choice.rate or (json.loads(site_result.read_text())["rate"] if site_result.exists() else FIRST_GUESS)
    site = control_run.ControlSite(folder, choice.options)
    site.toil = (os.cpu_count() or 1) / rate / control_run.TASKS
    _start(site, ended)
    known, plan = _planned(choice, rate)
    begin = time.monotonic()
    counted = control_run.run(site, plan, control_run.same_faults(known))
    more = {
        "seconds": round(time.monotonic() - begin, 1),
        "versions": report.versions(broker=f"{site.broker.name} {site.broker.version()}"),
    }
    return report.result(asdict(choice), counted, [], rate=rate, **more)


def _start(site: Any, ended: ExitStack) -> Any:
    begin = time.monotonic()
    ended.callback(site.stop)
    site.start()
    report.say(f"The site is ready after {time.monotonic() - begin:.0f} s.")
    return site


def _planned(choice: Choice, rate: float) -> tuple[dict[str, Fault], Plan]:
    known = faults(choice.database, choice.broker)
    often = weights(known, short=choice.short)
    plan = make(choice.seed, choice.number, rate, choice.load, often, short=choice.short)
    report.say(f"Capacity: {rate:.1f} exports/s. {len(plan.strikes)} faults in {plan.seconds:.0f} s.")
    return known, plan


def _references(site: Site, fetcher: Fetcher, known: list[Spec]) -> dict[str, str]:
    """Export each spec once without faults. Return spec -> content digest."""
    folder = site.folder / CALM
    folder.mkdir()
    _press(site, folder, [Request(FIRST_CALM + number, 0, spec) for number, spec in enumerate(known)])
    fetcher.fetch_all(60)
    made = {plain(fact["export"]): fact["spec"] for fact in lines.read(folder / load.ACCEPTED)}
    if missing := made.keys() - fetcher.seen:
        raise SystemExit(f"{len(missing)} exports failed before the first fault; the logs are in {site.folder}.")
    contents = contents_of(fetcher.folder, made)
    return {spec: contents[export] for export, spec in made.items()}


def _capacity(site: Site, seed: int) -> float:
    """Return the capacity in exports per second, including clicks and mails, from the middle of a burst."""
    burst = make(seed, BURST_SIZE, 1, 1, {}, short=False).requests
    _press(site, site.folder / CALM, [Request(BURST + each.number, 0, each.spec) for each in burst])
    database = site.database()
    moments = f"SELECT {database.epoch('finished_at')} FROM exports_export ORDER BY id DESC LIMIT {BURST_SIZE}"
    ends = sorted(float(moment) for (moment,) in database.rows(moments) if moment is not None)
    database.close()
    tenth = len(ends) // 10
    return (len(ends) - 2 * tenth) / (ends[-tenth] - ends[tenth])


def _press(site: Site, folder: Path, requests: list[Request]) -> None:
    """Send all requests at once and wait until all exports are final."""
    crowd = Crowd(site, folder)
    for request in requests:
        crowd.press(request)
    crowd.finish()
    crowd.stop()
    settle(site.database(), 240)
