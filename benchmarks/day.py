"""Everyday operations of a site after years of use, timed.

`python -m benchmarks.day 1000000 20 2` fills the database with 1,000,000 finished exports and 20 waiting parts of
2 owners, and prints the milliseconds of each operation as JSON. `tests/integration/test_scale.py` checks the query
plans of the same operations.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import django

if __name__ == "__main__":
    django.setup()

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone

from benchmarks import history
from durable import hints, sweep
from durable.clock import Now
from durable.models import Work
from exports.forecast.progress import progress_of, progress_of_many
from exports.intake.choices import ExportRequest
from exports.intake.requests import cancel_export, expire_export, request_export
from exports.models import Export, Part
from exports.pipeline import rates, window
from exports.states import State
from exports.upkeep import purge, reminders
from exports.web.responses import PER_PAGE, own_export, page_of_exports

TIMES = 20
CHOICE = "the next part, the window being full but for one"


@dataclass(frozen=True)
class Site:
    """A filled site: `heavy` owns a tenth of all exports; `light` owns two, one running and one ready."""

    heavy: User
    pages: int
    light: User
    running: Export
    ready: Export


def fill(past: int, backlog: int, owners: int) -> Site:
    """Create `past` finished exports, and `backlog` waiting parts of `owners` owners."""
    heavy, light = (User.objects.create_user(name) for name in ("heavy", "light"))
    history.make_past(past, heavy)
    history.make_backlog(backlog, owners)
    running = _export(light, State.RENDERING, rows=5_000, fingerprint="at work")
    Part.objects.bulk_create(Part(export=running, owner=light, index=index, rows=2_500) for index in range(2))
    file = {"artifact": f"{running.uuid}/export-1.csv", "size": 3, "sha256": "ab" * 32, "filename": "orders.csv"}
    now = timezone.now()
    ready = _export(light, State.READY, rows=50, finished_at=now, expires_at=now + timedelta(days=7), **file)
    held = [part.pk for part in window.fairest(window.sizes().parts)]
    Part.objects.filter(pk__in=held).update(attempt=1, published_at=Now(), lease_until=Work.moment_in(3600))
    history.vacuum()
    return Site(heavy, past // 10 // PER_PAGE, light, running, ready)


def _export(owner: User, state: State, **fields: object) -> Export:
    chosen = {"dataset": "orders", "format": "csv", "period_choice": "all", "next_attempt_at": None}
    return Export.objects.create(owner=owner, state=state, **(chosen | fields))


# --- everyday operations --------------------------------------------------------------------------------------------


def click(site: Site) -> None:
    request_export(site.light, ExportRequest(dataset="orders", format="csv", period="last-month"))


def part(site: Site) -> None:
    """Claim a part, save its progress, release it and check whether its export is complete, like a worker."""
    last = site.running.parts.latest("index")
    lease = Part.objects.claim(last.pk)
    assert lease is not None
    lease.save(rows_done=3)
    lease.release()
    window.finish_rendering(site.running.pk)


def page(owner: str, number: int | None, site: Site) -> None:
    """Build page `number` of the owner's exports. None is the last page."""
    request = _request(getattr(site, owner), page=number or site.pages)
    progress_of_many(list(page_of_exports(request)))


def progress(site: Site) -> None:
    progress_of(own_export(_request(site.light), site.running.uuid))


def expire(site: Site) -> None:
    Export.objects.filter(pk=site.ready.pk).update(expires_at=Now())
    purge.expire_due()


def _request(user: User, **query: int) -> HttpRequest:
    request = RequestFactory().get("/", query)
    request.user = user
    return request


ALL_DAY: dict[str, Callable[[Site], object]] = {
    "the click": click,
    "a part's beginning and end": part,
    "filling the window": lambda _: window.fill_window(),
    CHOICE: lambda _: window.fairest(window.sizes().parts + 1),
    "what is due to be joined": lambda _: window.finish_all_rendering(),
    "the sweep": lambda _: sweep.sweep(),
    "a measured rate": lambda _: rates.rate_of("orders", "csv"),
    "the list of somebody with few": partial(page, "light", 1),
    "the list of somebody with many": partial(page, "heavy", 1),
    "its last page": partial(page, "heavy", None),
    "an export's progress": progress,
    "cancelling": lambda site: cancel_export(site.running),
    "taking a file away": lambda site: expire_export(site.ready),
    "purge: what expires": expire,
    "purge: parts left behind": lambda _: purge.drop_abandoned_parts(),
    "purge: whose file is it, 20 times": lambda _: purge.referenced([f"nobody/{n}.csv" for n in range(20)]),
    "purge: what is old": lambda _: purge.forget_old_exports(),
    "reminders": lambda _: reminders.remind(),
}


def times(past: int, backlog: int, owners: int) -> dict[str, float]:
    """Return the milliseconds of each operation, the minimum of TIMES runs. Every run is rolled back."""
    with hints.muted():
        site = fill(past, backlog, owners)
        return {name: min(_once(operation, site) for _ in range(TIMES)) for name, operation in ALL_DAY.items()}


def _once(operation: Callable[[Site], object], site: Site) -> float:
    with transaction.atomic():
        begin = time.perf_counter()
        operation(site)
        seconds = time.perf_counter() - begin
        transaction.set_rollback(True)
    for export in (site.running, site.ready):
        export.refresh_from_db()
    return round(seconds * 1000, 3)


if __name__ == "__main__":
    print(json.dumps(times(*map(int, sys.argv[1:]))))
