"""Run one export over HTTP, as a browser would: sign in, request, poll, download, compare."""

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
PASSWORD = "demo"  # noqa: S105  of the demo shop: public, and rejected outside the demo
ENTERPRISE = "enterprise@example.com"
SIGN_INS = (ENTERPRISE, "small@example.com", "staff@example.com")
EXPORT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 1.0


@dataclass(frozen=True)
class ExportOptions:
    """What to export: values of the form's fields, the user, and a timeout in seconds."""

    dataset: str = "orders"
    format: str = "pdf"
    period: str = "ytd"
    user: str = ENTERPRISE
    seconds: float = 180

    @classmethod
    def from_environment(cls) -> ExportOptions:
        """Read ONCE_DATASET, ONCE_FORMAT, ONCE_PERIOD, ONCE_USER and ONCE_SECONDS. Raise Fault."""
        given = {name: os.environ.get(f"ONCE_{name.upper()}", "") for name in ("dataset", "format", "period", "user")}
        try:
            seconds = float(os.environ.get("ONCE_SECONDS", "") or cls.seconds)
        except ValueError as error:
            raise Fault(f"ONCE_SECONDS={os.environ['ONCE_SECONDS']} is not a number of seconds.") from error
        return cls(**{name: value for name, value in given.items() if value}, seconds=seconds)


@dataclass
class Drive:
    """One export in progress. Times are seconds since the click."""

    browser: Browser
    options: ExportOptions
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
            form.action or page.url, form.fields | {"username": self.options.user, "password": PASSWORD}
        )
        if answer.status not in (302, 303):
            raise Fault(f"Sign-in as {self.options.user} failed (status {answer.status}): {answer.reason()}")

    def request(self) -> None:
        """Submit the form without JavaScript. The response must be a redirect (303) to the page of the export."""
        page = self.browser.get("/exports/")
        form = page.form("dataset")
        wanted = {"dataset": self.options.dataset, "format": self.options.format, "period": self.options.period}
        self.clicked = time.monotonic()
        answer = self.browser.post(form.action or page.url, form.fields | wanted)
        self.answered = self.now()
        found = EXPORT_ID.search(answer.location)
        if answer.status != 303 or not found:
            raise Fault(f"The form returned status {answer.status}, not 303 to an export: {answer.reason()}")
        self.export_id = found[0]
        self.seen["queued"] = self.answered  # the row is committed before the response is sent

    def wait_until_ready(self) -> None:
        """Poll until the export is final. Raise Fault unless it is ready in time."""
        pause = FIRST_PAUSE
        while self.last.get("state") not in FINAL:
            if self.now() > self.options.seconds:
                state, progress = self.last.get("state"), self.last.get("progress")
                raise Fault(f"Not ready within {self.options.seconds:.0f} s (state {state}, progress {progress}).")
            if self.last:
                time.sleep(pause)
                pause = min(pause * 1.05, LONGEST_PAUSE)
            self._poll()
        if self.last["state"] != "ready":
            error = self.last.get("error") or {}
            raise Fault(f"The export ended as {self.last['state']}: {error.get('message', 'no reason given')}")

    def _poll(self) -> None:
        answer = self.browser.get(f"/api/exports/{self.export_id}/")
        if answer.status != 200:
            raise Fault(f"The progress request returned status {answer.status}: {answer.reason()}")
        self.last = answer.json()
        self.seen.setdefault(self.last["state"], self.now())

    def download(self, folder: Path) -> Download:
        """Stream the file into `folder`, and compare its size and checksum with the record. Raise Fault."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / Path(self.last["filename"]).name
        part = path.with_name(path.name + ".part")
        digest, size = self._stream(part)
        recorded = (self.last["sha256"], self.last["size"])
        if (digest, size) != recorded:
            raise Fault(f"The download has {size} bytes, SHA-256 {digest}; expected {recorded[1]}, {recorded[0]}.")
        part.replace(path)
        return Download(path, size, digest, self.now())

    def _stream(self, part: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self.browser.fetch(self.last["download_url"]) as answer, part.open("wb") as file:
            if answer.status_code != httpx.codes.OK:
                raise Fault(f"The download returned status {answer.status_code}.")
            for chunk in answer.iter_bytes(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        return digest.hexdigest(), size


@dataclass(frozen=True)
class Download:
    """A downloaded file that matches its record. `seconds` is the time since the click."""

    path: Path
    size: int
    sha256: str
    seconds: float


def drive(browser: Browser, options: ExportOptions, folder: Path) -> tuple[Drive, Download]:
    """Run an export from the sign-in to the verified file. Raise Fault."""
    export = Drive(browser, options)
    export.sign_in()
    export.request()
    export.wait_until_ready()
    return export, export.download(folder)


def timeline(export: Drive, download: Download) -> list[str]:
    """Return the report of `make run ONCE=1`."""
    last = export.last
    states = [
        f"  +{seconds:7.2f} s  {state}" for state, seconds in sorted(export.seen.items(), key=lambda item: item[1])
    ]
    pages = f"{last['pages']:,}" if last.get("pages") else "-"
    return [
        f"{export.options.dataset} as {export.options.format}, {export.options.period}, for {export.options.user}",
        f"  click answered in {export.answered * 1000:.0f} ms",
        *states,
        f"  +{download.seconds:7.2f} s  downloaded",
        f"  rows {last['rows_done']:,}   pages {pages}   bytes {download.size:,}",
        f"  SHA-256 {download.sha256}",
        "  the downloaded file matches the recorded checksum",
        f"  {download.path}",
    ]


def make_first_export(browser: Browser, options: ExportOptions | None = None) -> None:
    """Create an export for the demo's enterprise customer, unless there is one, and print its duration."""
    export = Drive(browser, options or ExportOptions())
    export.sign_in()
    if _any_exports(browser):
        return
    export.request()
    export.wait_until_ready()
    rows, seconds = export.last["rows_done"], export.now()
    say(f"The first export is ready: {rows:,} orders in {seconds:.1f} s, {browser.base_url}exports/{export.export_id}/")


def _any_exports(browser: Browser) -> bool:
    answer = browser.get("/api/exports/")
    if answer.status != 200:
        raise Fault(f"The list of exports returned status {answer.status}: {answer.reason()}")
    listed = answer.json()
    return bool(listed["exports"] if isinstance(listed, dict) else listed)
