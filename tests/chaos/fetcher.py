"""A thread that downloads every export that becomes ready, as its owner, and logs what it received."""

from __future__ import annotations

import hashlib
import threading
import time
from uuid import UUID

from deploy.http import Browser
from deploy.steps import Fault
from tests.chaos import lines
from tests.chaos.database import Away
from tests.chaos.load import plain
from tests.chaos.site import Site

DOWNLOADED = "downloaded.log"
READY = (
    "SELECT uuid, username, sha256 FROM exports_export JOIN auth_user ON auth_user.id = owner_id WHERE state = 'ready'"
)


class Fetcher(threading.Thread):
    """Download every export that becomes ready, as its owner, and append each file's hash to the ledger."""

    def __init__(self, site: Site) -> None:
        super().__init__(name="fetcher", daemon=True)
        self._site, self._database = site, site.database()
        self._people: dict[str, Browser] = {}
        self._ended = threading.Event()
        self.folder = site.folder / "downloads"
        self.folder.mkdir(exist_ok=True)
        self.seen: set[str] = set()
        self.broken = 0
        """Number of downloads that broke off or were refused; each was retried."""

    def again(self) -> Fetcher:
        """Return a new thread that continues where this one ended."""
        other = Fetcher(self._site)
        other.seen, other._people = self.seen, self._people
        return other

    def run(self) -> None:
        while not self._ended.wait(2.0):
            self._fetch_new()

    def fetch_all(self, seconds: float) -> None:
        """Fetch the remaining exports after the run, for up to `seconds`."""
        self.stop()
        end = time.monotonic() + seconds
        self._ended.clear()
        while self._fetch_new() and time.monotonic() < end:
            time.sleep(0.5)
        self._database.close()

    def stop(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join(30)

    def _fetch_new(self) -> int:
        """Fetch the exports that have become ready. Return how many could not be fetched."""
        try:
            rows = self._database.ask(READY)
        except Away:
            return 1
        new = [(plain(uuid), name, sha256) for uuid, name, sha256 in rows if plain(uuid) not in self.seen]
        return sum(self._ended.is_set() or not self._fetch(*row) for row in new)

    def _fetch(self, export: str, name: str, sha256: str) -> bool:
        try:
            answer = self._browser(name).get(f"/exports/{UUID(export)}/download/")
        except Fault:
            answer = None
        if answer is None or answer.status != 200:
            self.broken += 1
            return False
        (self.folder / export).write_bytes(answer.body)
        found = hashlib.sha256(answer.body).hexdigest()
        lines.append(self._site.folder / DOWNLOADED, {"export": export, "sha256": found, "recorded": sha256})
        self.seen.add(export)
        return True

    def _browser(self, name: str) -> Browser:
        if name not in self._people:
            self._people[name], _ = self._site.sign_in(name)
        return self._people[name]
