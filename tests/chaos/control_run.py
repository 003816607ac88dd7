"""A run of the control: the same requests, and those faults that apply to plain Celery."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from celery import Celery

from config.queues import CONCURRENCY
from deploy.processes import Program
from tests.chaos import lines
from tests.chaos.faults import Fault, Scene
from tests.chaos.mail import LEDGER as MAILS
from tests.chaos.people import email
from tests.chaos.plan import SHOPS, Plan, Request
from tests.chaos.site import MAIL, WORKERS, Site
from tests.chaos.striker import STRUCK, Striker

ACCEPTED = "accepted.log"
TASKS = 4.5
"""Average number of tasks per export: split, one or two parts, join, mail."""
PATIENCE = 180.0
AWAIT = 300.0
"""Seconds to wait for missing mails at the end: visibility timeout, retries of a restore, and backoff."""
QUIET = 150.0
"""Seconds without a new mail after which missing exports count as lost: more than twice the visibility timeout."""


class ControlSite(Site):
    """The site of the control: the same machines, running only workers and a mail server."""

    toil = 0.0
    """Seconds of CPU that each task uses, so that an export costs as much as one of the site."""

    def _programs(self) -> list[Program]:
        mail = [sys.executable, "-m", "tests.chaos.mail", str(self.mail_port), str(self.folder)]
        return [Program(MAIL, mail), *(self._worker(name) for name in WORKERS)]

    def _worker(self, name: str) -> Program:
        queue = name.split("-")[1]
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "celery",
            "-A",
            "tests.chaos.control",
            "worker",
            "-l",
            "WARNING",
        ]
        command += ["-Q", queue, "-n", f"{name}-{self.port}@%h", "-c", str(CONCURRENCY[queue])]
        return Program(name, [*command, "--without-gossip", "--without-mingle"], stop_seconds=15)

    def environment(self, program: Program) -> dict[str, str]:
        # SIGQUIT starts Celery's soft shutdown, which its documentation recommends over the warm one for Redis.
        return super().environment(program) | {
            "MAIL_PORT": str(self.mail_port),
            "REMAP_SIGTERM": "SIGQUIT",
            "TOIL": str(self.toil),
        }

    def await_ready(self, *names: str) -> None:
        super().await_ready(*(name for name in names if name in self.programs))

    def _is_ready(self, name: str) -> bool:
        """Return whether the program has children: at log level WARNING it logs no "ready" line."""
        return bool(self.manager.children(name))


class Clients:
    """Clients that enqueue as a view would, retry until Celery accepts the message, and log it to the ledger."""

    def __init__(self, app: Celery, ledger: Path) -> None:
        self._app, self._ledger = app, ledger
        self._pool = ThreadPoolExecutor(16, "click")
        self.refused = 0

    def press_all(self, requests: tuple[Request, ...], begin: float) -> None:
        for request in requests:
            time.sleep(max(0.0, begin + request.at - time.monotonic()))
            self._pool.submit(self._press, request)
        self._pool.shutdown(wait=True)

    def _press(self, request: Request) -> None:
        end, begin = time.monotonic() + PATIENCE, time.monotonic()
        while time.monotonic() < end:
            try:
                # Celery's own retries end soon. A view would then answer "try again", and its client would do so.
                arguments = (request.number, email(request.spec.owner))
                self._app.send_task("tests.chaos.control.export", arguments, ignore_result=True)
            except Exception:  # noqa: BLE001 - any error of the broker's client
                self.refused += 1
                time.sleep(0.5)
                continue
            seconds = round(time.monotonic() - begin, 3)
            lines.append(self._ledger, {"request": request.number, "owner": request.spec.owner, "seconds": seconds})
            return


def run(site: ControlSite, plan: Plan, known: dict[str, Fault]) -> dict[str, Any]:
    """Run the plan on a started site and return the counts."""
    os.environ |= {"REDIS_URL": site.broker.environment["REDIS_URL"], "VAR_DIR": str(site.var_dir)}
    os.environ |= {"DATABASE_URL": site.postgres.url if site.postgres else ""}
    from tests.chaos.control import app, rows_of, text  # the module reads the environment on import

    expected = {
        owner: hashlib.sha256(text(rows_of(email(owner), 0, rows))).hexdigest() for owner, rows in enumerate(SHOPS)
    }
    clients = Clients(app, site.folder / ACCEPTED)
    begin = time.monotonic()
    clicking = threading.Thread(target=clients.press_all, args=(plan.requests, begin), daemon=True)
    clicking.start()
    strikes = tuple(strike for strike in plan.strikes if strike.kind in known)
    Striker(Scene(site, set), known, site.folder).run(strikes, begin)
    clicking.join()
    _await_mails(site.folder)
    return counts(site.folder, expected, [end.name for end in site.manager.unexpected(())]) | {
        "clicks_refused": clients.refused
    }


def _await_mails(folder: Path) -> None:
    """Wait until every accepted export is mailed, or no new mail has arrived for QUIET seconds."""
    end, last, changed = time.monotonic() + AWAIT, -1, time.monotonic()
    while time.monotonic() < min(end, changed + QUIET):
        accepted = {fact["request"] for fact in lines.read(folder / ACCEPTED)}
        mailed = {_number(fact) for fact in lines.read(folder / MAILS)}
        if accepted <= mailed:
            return
        if len(mailed) != last:
            last, changed = len(mailed), time.monotonic()
        time.sleep(1)


def _number(mail: dict[str, Any]) -> int:
    return int(mail["id"].strip("<").partition("@")[0])


def counts(folder: Path, expected: dict[int, str], unexpected: list[str]) -> dict[str, Any]:
    """Count the accepted exports that are ready, lost, wrong, made twice, never mailed or mailed twice."""
    accepted = {fact["request"]: fact["owner"] for fact in lines.read(folder / ACCEPTED)}
    made = lines.read(folder / "made.log")
    times = Counter(fact["request"] for fact in made)
    mails = Counter(_number(fact) for fact in lines.read(folder / MAILS))
    last = {fact["request"]: fact["sha256"] for fact in made}
    strikes = lines.read(folder / STRUCK)
    return {
        "accepted": len(accepted),
        "ready": len(accepted.keys() & times.keys()),
        "lost": len(accepted.keys() - times.keys()),
        "wrong": sum(last[number] != expected[owner] for number, owner in accepted.items() if number in last),
        "made_twice": sum(count - 1 for count in times.values()),
        "untold_by_mail": len(accepted.keys() - mails.keys()),
        "double_mail": sum(count - 1 for count in mails.values()),
        "unexpected_exits": dict(Counter(unexpected)),
        "strikes": dict(Counter(strike["kind"] for strike in strikes if strike["struck"])),
    }


def same_faults(known: dict[str, Fault]) -> dict[str, Fault]:
    """Return the faults that apply to plain Celery."""
    return {kind: fault for kind, fault in known.items() if fault.control}
