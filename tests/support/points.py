"""Kill points: named moments, just before or after an operation, at which a real process kills itself.

A folder arms them: a file has the name of the point and contains the name of the only program that may fall there
("web", "worker-high", ...), or nothing. The first process that reaches the point deletes the file, writes a line to
`fallen.log`, and sends itself SIGKILL. If the file has a second line, the process stops until a test wakes it instead.
The site's own code does not contain the points: tests.work wraps its functions if KILL_POINTS is set to the folder.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from exports.states import PartState, State

if TYPE_CHECKING:
    from durable.lease import Lease
    from durable.models import Work

LOG = "fallen.log"
ASLEEP = "asleep"
Function = Callable[..., Any]
Here = Callable[[str], None]
"""Kill this process if the point is armed."""


class Fall(NamedTuple):
    """A line of the log."""

    point: str
    program: str
    pid: int
    moment: float
    """Seconds since 1970."""


class Bracket(NamedTuple):
    """The points around a commit: after the last write, after the commit, and after the hints are sent."""

    before_commit: str
    after_commit: str
    after_publish: str


CLICK = Bracket("click-before-commit", "click-after-commit", "click-after-publish")
PLAN = Bracket("plan-before-commit", "plan-after-commit", "")
WINDOW = Bracket("window-before-commit", "window-chosen", "window-published")
FAN_IN = Bracket("fan-in-before-commit", "fanned-in", "fan-in-published")
READY = Bracket("ready-before-commit", "ready-after-commit", "ready-after-publish")
FAILED = Bracket("failed-before-commit", "failed-after-commit", "failed-after-publish")
SLOT = Bracket("slot-before-commit", "slot-after-commit", "slot-after-publish")
REPORT = Bracket("report-before-commit", "report-after-commit", "report-after-publish")
STORED = {"part": "part-stored", "export": "assembled-stored"}
"""Prefix of a stored file's name -> the point between storing the file and writing its row."""
CLAIMED = ("export-claimed", "part-claimed", "delivery-claimed", "slot-claimed", "usagereport-claimed")
POINTS: tuple[str, ...] = (
    *(point for bracket in (CLICK, PLAN, WINDOW, FAN_IN, READY, FAILED, SLOT, REPORT) for point in bracket if point),
    *STORED.values(), *CLAIMED, "report-stored", "part-done", "mail-accepted", "sweep-chosen", "sweep-published",
)  # fmt: skip
"""Every point."""


# --- for tests ------------------------------------------------------------------------------------------------------


def arm(folder: Path, point: str, program: str = "", *, asleep: bool = False) -> None:
    """Make the next process that reaches `point` fall there; with `program`, only a process of that program.

    With `asleep`, the process stops until `wake` is called; inside a transaction it keeps its locks. Raises KeyError
    for an unknown point.
    """
    if point not in POINTS:
        raise KeyError(point)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f".{point}"
    written.write_text(f"{program}\n{ASLEEP}" if asleep else program)
    written.rename(folder / point)  # atomic, so that no process reads half a file


def armed(folder: Path) -> list[str]:
    """Return the armed points that no process has reached yet."""
    return [point for point in POINTS if (folder / point).exists()]


def fallen(folder: Path) -> list[Fall]:
    """Return the falls so far, in order."""
    log = folder / LOG
    return [_parsed(line) for line in log.read_text().splitlines()] if log.exists() else []


def wake(fall: Fall) -> None:
    """Continue a process that was stopped at its point."""
    os.kill(fall.pid, signal.SIGCONT)


def _parsed(line: str) -> Fall:
    point, program, pid, moment = line.split()
    return Fall(point, program, int(pid), float(moment))


# --- in the process that falls --------------------------------------------------------------------------------------


def fall(folder: Path, point: str) -> None:
    """Kill or stop this process if the point is armed for this program. Reads the folder at most once."""
    program, file = os.environ.get("PROCESS_NAME") or "nameless", folder / point
    try:
        if not point or (lines := file.read_text().split("\n"))[0] not in ("", program):
            return
        file.unlink()  # succeeds in only one of several processes
    except FileNotFoundError:
        return
    with (folder / LOG).open("a") as log:
        log.write(f"{point} {program} {os.getpid()} {time.time():.3f}\n")
        log.flush()
        os.fsync(log.fileno())
    os.kill(os.getpid(), signal.SIGSTOP if lines[1:] == [ASLEEP] else signal.SIGKILL)


def install(folder: Path) -> None:
    """Wrap the site's functions with the points, where their callers look them up. Call it once, before any fork."""
    from durable import lease, models, sweep  # imports models, so only once Django's apps are ready
    from exports.intake import requests
    from exports.pipeline import announce, window
    from exports.storage import artifacts
    from exports.upkeep import schedules, usage_report
    from notifications.channels.email import Email

    here = partial(fall, folder)
    _patch(requests, "publish_on_commit", _committing(here, lambda *_: CLICK))
    _patch(schedules, "publish_on_commit", _committing(here, lambda *_: SLOT))
    _patch(usage_report, "publish_on_commit", _committing(here, lambda *_: REPORT))
    _patch(announce, "ready", _committing(here, lambda *_: READY))
    _patch(announce, "failed", _committing(here, lambda *_: FAILED))
    _patch(window, "publish_on_commit", _committing(here, _dispatched))
    _patch(lease.Lease, "finish", _committing(here, _planned))
    _patch(lease.Lease, "finish", _after(here, _rendered))
    _patch(artifacts, "store", _after(here, _stored))
    _patch(models.WorkQuerySet, "claim", _after(here, _claimed))
    _patch(Email, "deliver", _after(here, lambda *_: "mail-accepted"))
    _patch(sweep, "publish", _before(here, lambda rows: "sweep-chosen" if rows else ""))
    _patch(sweep, "publish", _after(here, lambda _, rows: "sweep-published" if rows else ""))


def _patch(owner: Any, name: str, wrapper: Callable[[Function], Function]) -> None:
    setattr(owner, name, wrapper(getattr(owner, name)))


def _committing(here: Here, bracket: Callable[..., Bracket | None]) -> Callable[[Function], Function]:
    """Wrap a function whose writes are the last ones of their transaction. `bracket` gets the function's arguments."""

    def wrapper(function: Function) -> Function:
        @wraps(function)
        def bracketed(*args: Any, **fields: Any) -> Any:
            points = bracket(*args, **fields)
            if points is None:
                return function(*args, **fields)
            transaction.on_commit(partial(here, points.after_commit))  # callbacks run in this order
            result = function(*args, **fields)
            transaction.on_commit(partial(here, points.after_publish))
            here(points.before_commit)
            return result

        return bracketed

    return wrapper


def _before(here: Here, point: Callable[..., str]) -> Callable[[Function], Function]:
    """Wrap a function to fall before it. `point` gets the function's arguments."""

    def wrapper(function: Function) -> Function:
        @wraps(function)
        def watched(*args: Any, **fields: Any) -> Any:
            here(point(*args, **fields))
            return function(*args, **fields)

        return watched

    return wrapper


def _after(here: Here, point: Callable[..., str]) -> Callable[[Function], Function]:
    """Wrap a function to fall after it has returned. `point` gets the function's result and arguments."""

    def wrapper(function: Function) -> Function:
        @wraps(function)
        def watched(*args: Any, **fields: Any) -> Any:
            result = function(*args, **fields)
            here(point(result, *args, **fields))
            return result

        return watched

    return wrapper


# --- the point of a call ----------------------------------------------------------------------------------------------


def _dispatched(rows: Sequence[Work]) -> Bracket | None:
    """Return the bracket of a publication: the fan-in publishes an export, the window publishes parts."""
    if not rows:
        return None
    return FAN_IN if _is(rows[0], "export") else WINDOW


def _planned(lease: Lease[Work], **fields: Any) -> Bracket | None:
    return PLAN if fields.get("state") == State.RENDERING and _is(lease.work, "export") else None


def _rendered(_: None, lease: Lease[Work], **fields: Any) -> str:
    """Return the point after a part is finished. It runs in autocommit mode, so the part's row is then committed."""
    return "part-done" if fields.get("state") == PartState.DONE and _is(lease.work, "part") else ""


def _stored(stored: Any, *_: Any) -> str:
    *_folders, name = stored.key.split("/")
    return STORED.get(name.partition("-")[0], "report-stored")


def _claimed(lease: Lease[Work] | None, *_: Any) -> str:
    return f"{lease.work._meta.model_name}-claimed" if lease is not None else ""


def _is(row: Work, model: str) -> bool:
    return row._meta.model_name == model
