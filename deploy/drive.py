"""Drive one export as a person at a browser would: sign in, press, follow, download, compare."""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.http import CHUNK, Browser
from deploy.steps import Fault, say

FINAL = ("ready", "failed", "cancelled", "expired")
PASSWORD = "demo"  # noqa: S105  the demo shop's, shown on its first page and refused elsewhere
ENTERPRISE = "enterprise@example.com"
SIGN_INS = (ENTERPRISE, "small@example.com", "staff@example.com")
EXPORT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 1.0


@dataclass(frozen=True)
class Wish:
    """What to export, by the values of the form's fields."""

    dataset: str = "orders"
    format: str = "pdf"
    period: str = "ytd"
    user: str = ENTERPRISE
    seconds: float = 180

    @classmethod
    def from_environment(cls) -> Wish:
        """ONCE_DATASET, ONCE_FORMAT, ONCE_PERIOD, ONCE_USER and ONCE_SECONDS, where set. Raises Fault."""
        given = {name: os.environ.get(f"ONCE_{name.upper()}", "") for name in ("dataset", "format", "period", "user")}
        try:
            seconds = float(os.environ.get("ONCE_SECONDS", "") or cls.seconds)
        except ValueError as error:
            raise Fault(f"ONCE_SECONDS={os.environ['ONCE_SECONDS']} is no number of seconds.") from error
        return cls(**{name: value for name, value in given.items() if value}, seconds=seconds)


@dataclass
class Drive:
    """One export on its way. Times are seconds since the click."""

    browser: Browser
    wish: Wish
    export_id: str = ""
    clicked: float = 0.0
    answered: float = 0.0
    seen: dict[str, float] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def now(self) -> float:
        return time.monotonic() - self.clicked

    def sign_in(self) -> None:
        page = self.browser.get("/accounts/login/")
        form = page.form("username")
        answer = self.browser.post(
            form.action or page.url, form.fields | {"username": self.wish.user, "password": PASSWORD}
        )
        if answer.status not in (302, 303):
            raise Fault(f"Signing in as {self.wish.user} was refused (status {answer.status}): {answer.reason()}")

    def press(self) -> None:
        """The button, as a plain form: the answer must be 303 to the export's own page."""
        page = self.browser.get("/exports/")
        form = page.form("dataset")
        wanted = {"dataset": self.wish.dataset, "format": self.wish.format, "period": self.wish.period}
        self.clicked = time.monotonic()
        answer = self.browser.post(form.action or page.url, form.fields | wanted)
        self.answered = self.now()
        found = EXPORT_ID.search(answer.location)
        if answer.status != 303 or not found:
            raise Fault(f"The button was answered with {answer.status}, not 303 to an export: {answer.reason()}")
        self.export_id = found[0]
        self.seen["queued"] = self.answered  # the row is committed before the answer is sent

    def follow(self) -> None:
        """Ask again and again until the export is final. Raises Fault unless it is ready in time."""
        pause = FIRST_PAUSE
        while self.last.get("state") not in FINAL:
            if self.now() > self.wish.seconds:
                state, progress = self.last.get("state"), self.last.get("progress")
                raise Fault(f"It was not ready within {self.wish.seconds:.0f} s (state {state}, progress {progress}).")
            if self.last:
                time.sleep(pause)
                pause = min(pause * 1.05, LONGEST_PAUSE)
            self._look()
        if self.last["state"] != "ready":
            error = self.last.get("error") or {}
            raise Fault(f"The export ended as {self.last['state']}: {error.get('message', 'no reason was given')}")

    def _look(self) -> None:
        answer = self.browser.get(f"/api/exports/{self.export_id}/")
        if answer.status != 200:
            raise Fault(f"Asking for the progress was answered with status {answer.status}: {answer.reason()}")
        self.last = answer.json()
        self.seen.setdefault(self.last["state"], self.now())

    def download(self, folder: Path) -> Download:
        """Stream the file into `folder`, and compare it with what is recorded. Raises Fault."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / Path(self.last["filename"]).name
        part = path.with_name(path.name + ".part")
        digest, size = self._stream(part)
        recorded = (self.last["sha256"], self.last["size"])
        if (digest, size) != recorded:
            raise Fault(f"The download is {size} bytes, SHA-256 {digest}; recorded are {recorded[1]}, {recorded[0]}.")
        part.replace(path)
        return Download(path, size, digest, self.now())

    def _stream(self, part: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self.browser.fetch(self.last["download_url"]) as answer, part.open("wb") as file:
            if answer.status_code != httpx.codes.OK:
                raise Fault(f"The download was answered with status {answer.status_code}.")
            for chunk in answer.iter_bytes(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        return digest.hexdigest(), size


@dataclass(frozen=True)
class Download:
    """A file that arrived and is what was recorded. `seconds` since the click."""

    path: Path
    size: int
    sha256: str
    seconds: float


def drive(browser: Browser, wish: Wish, folder: Path) -> tuple[Drive, Download]:
    """The whole way, from the sign-in to the compared file. Raises Fault."""
    export = Drive(browser, wish)
    export.sign_in()
    export.press()
    export.follow()
    return export, export.download(folder)


def timeline(export: Drive, got: Download) -> list[str]:
    """The lines that `make run ONCE=1` ends with."""
    last = export.last
    states = [
        f"  +{seconds:7.2f} s  {state}" for state, seconds in sorted(export.seen.items(), key=lambda item: item[1])
    ]
    pages = f"{last['pages']:,}" if last.get("pages") else "-"
    return [
        f"{export.wish.dataset} as {export.wish.format}, {export.wish.period}, for {export.wish.user}",
        f"  click answered in {export.answered * 1000:.0f} ms",
        *states,
        f"  +{got.seconds:7.2f} s  downloaded",
        f"  rows {last['rows_done']:,}   pages {pages}   bytes {got.size:,}",
        f"  SHA-256 {got.sha256}",
        "  the downloaded file matches the recorded checksum",
        f"  {got.path}",
    ]


def make_first_export(browser: Browser, wish: Wish | None = None) -> None:
    """Give the demo's enterprise customer an export where there is none, and say how it went."""
    export = Drive(browser, wish or Wish())
    export.sign_in()
    if _any_exports(browser):
        return
    export.press()
    export.follow()
    rows, seconds = export.last["rows_done"], export.now()
    say(
        f"A first export is ready: {rows:,} orders as CSV in {seconds:.1f} s, "
        f"{browser.base_url}exports/{export.export_id}/"
    )


def _any_exports(browser: Browser) -> bool:
    answer = browser.get("/api/exports/")
    if answer.status != 200:
        raise Fault(f"Listing the exports was answered with status {answer.status}: {answer.reason()}")
    listed = answer.json()
    return bool(listed["exports"] if isinstance(listed, dict) else listed)
