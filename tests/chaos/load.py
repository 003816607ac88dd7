"""The users of a run: they request exports, log each answer and cancel some of the exports.

Each 202 answer becomes a line in the ledger of accepted exports, synced to disk before anything else happens. A request
without an answer is repeated. Only answered requests count as accepted.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

from deploy.http import Answer
from deploy.steps import Fault
from tests.chaos import lines
from tests.chaos.database import Database
from tests.chaos.people import email
from tests.chaos.plan import INSIDE, SHOPS, Request, Spec
from tests.chaos.site import Site

ACCEPTED, CANCELLED = "accepted.log", "cancelled.log"
FIRST_DAY, LAST_DAY = date(1980, 1, 1), "2100-12-31"
"""Each request's period begins on a different day, long before any order: distinct requests, the same rows."""
PATIENCE = 180.0
"""Seconds for which a request without an answer is repeated."""
PEOPLE = 24
"""Number of concurrent clicks."""


def form_fields(spec: Spec, number: int) -> dict[str, str | list[str]]:
    """Return the form fields of a request."""
    fields: dict[str, str | list[str]] = {
        "dataset": "orders",
        "format": spec.format,
        "date_from": str(FIRST_DAY + timedelta(days=number)),
        "date_to": LAST_DAY,
    }
    if spec.fields:
        fields["fields"] = spec.fields.split(",")
    if spec.format == "zip":
        fields |= {"datasets": ["orders", "invoices"], "inside": INSIDE.split(",")}
        del fields["dataset"]
    return fields


class Crowd:
    """All users, signed in. `finish` waits for the last answer."""

    def __init__(self, site: Site, folder: Path) -> None:
        """Write the ledgers to `folder`."""
        self._site, self._folder = site, folder
        self._people = [site.sign_in(email(owner)) for owner in range(len(SHOPS))]
        self._pool = ThreadPoolExecutor(PEOPLE, "click")
        self._clicks: list[Future[None]] = []
        self._ended = threading.Event()
        self.refused: dict[str, int] = {}
        self.unanswered = 0
        """Number of requests with no answer, or a broken one."""
        self.given_up = 0
        self._lock = threading.Lock()

    def press_all(self, requests: tuple[Request, ...], begin: float) -> None:
        """Send each request at its offset from `begin` on the monotonic clock. Return after the last one."""
        for request in requests:
            if self._ended.wait(max(0.0, begin + request.at - time.monotonic())):
                return
            for _ in range(2 if request.twice else 1):
                self._clicks.append(self._pool.submit(self._press, request))

    def press(self, request: Request) -> None:
        self._clicks.append(self._pool.submit(self._press, request))

    def finish(self) -> None:
        """Wait for all clicks, and raise the exception of a failed one."""
        for click in self._clicks:
            click.result(PATIENCE * 2)

    def stop(self) -> None:
        self._ended.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _press(self, request: Request) -> None:
        begin, tries = time.monotonic(), 0
        while not self._ended.is_set() and time.monotonic() - begin < PATIENCE:
            tries += 1
            pressed = time.monotonic()
            answer = self._post(request.spec.owner, "/api/exports/", form_fields(request.spec, request.number))
            if answer is not None and answer.status == 202:
                accepted = answer.json()
                seconds = round(time.monotonic() - pressed, 3)
                fact = {
                    "request": request.number,
                    "spec": request.spec.name,
                    "export": accepted["id"],
                    "seconds": seconds,
                }
                lines.append(self._folder / ACCEPTED, fact | {"existing": accepted["existing"], "tries": tries})
                return self._perhaps_cancel(request, accepted["id"])
            time.sleep(0.5)
        self.given_up += 1
        return None

    def _post(self, owner: int, path: str, fields: dict[str, str | list[str]]) -> Answer | None:
        browser, token = self._people[owner]
        try:
            answer = browser.post(path, fields | {"csrfmiddlewaretoken": token})
        except Fault:
            with self._lock:
                self.unanswered += 1
            return None
        if answer.status >= 400:
            with self._lock:
                code = (
                    f"{answer.status} {answer.json()['error']['code']}"
                    if "json" in _kind(answer)
                    else str(answer.status)
                )
                self.refused[code] = self.refused.get(code, 0) + 1
        return answer

    def _perhaps_cancel(self, request: Request, export: str) -> None:
        if request.cancel_after is None:
            return
        time.sleep(request.cancel_after)
        end = time.monotonic() + PATIENCE
        while not self._ended.is_set() and time.monotonic() < end:
            answer = self._post(request.spec.owner, f"/api/exports/{export}/cancel/", {})
            if answer is not None and answer.status < 500:
                lines.append(self._folder / CANCELLED, {"export": export, "status": answer.status})
                return
            time.sleep(0.5)


def _kind(answer: Answer) -> str:
    return str(answer.headers.get("Content-Type", ""))


def plain(uuid: object) -> str:
    """Return an id as 32 hex digits, in whichever form the database stores it."""
    return str(uuid).replace("-", "")


def open_work(database: Database) -> int:
    """Return the number of exports without a final state, of pending deliveries, and of open jobs."""
    exports = "SELECT count(*) FROM exports_export WHERE state IN ('queued', 'rendering', 'assembling')"
    deliveries = "SELECT count(*) FROM notifications_delivery WHERE state = 'pending'"
    jobs = "SELECT count(*) FROM chaos_imprint WHERE state = 'waiting'"
    return sum(int(database.rows(sql)[0][0]) for sql in (exports, deliveries, jobs))


def settle(database: Database, seconds: float) -> bool:
    """Wait for all open work. Return False if some is left after `seconds`."""
    end = time.monotonic() + seconds
    while open_work(database):
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
