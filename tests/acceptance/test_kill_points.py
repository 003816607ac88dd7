"""Processes killed at named points: before a commit, after it, and between it and the step that follows.

Real processes kill themselves (tests/support/points.py), and the tests restart them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.steps import Fault
from tests.support import points
from tests.support.databases import postgresql
from tests.support.groups import members
from tests.support.smtp_sink import SmtpSink, smtp_sink
from tests.support.stack import Stack, running, wait_until

WORKERS = ("worker-high", "worker-bulk")
ROWS = 50
"""Rows of the small customer: three parts, and too many for a small export, so that both queues are used."""
CUT = {"ROWS_PER_PART": "20", "SMALL_ROWS": "10", "BACKOFF_FIRST": "1", "REPUBLISH_AFTER": "2"}
ON_SQLITE = pytest.mark.parametrize("site", ["sqlite"], indirect=True)
CLAIMED = "export-claimed"
LIFE = (
    CLAIMED, "plan-before-commit", "plan-after-commit",
    "window-before-commit", "window-chosen", "window-published",
    "part-claimed", "part-stored", "part-done",
    "fan-in-before-commit", "fanned-in", "fan-in-published",
    "assembled-stored", "ready-before-commit", "ready-after-commit", "ready-after-publish",
    "delivery-claimed", "sweep-chosen", "sweep-published",
)  # fmt: skip
"""Points at which a worker may be killed between the click and the mail. A kill in a sweep ends the whole worker."""


class Site:
    """A running site. Its waiting methods also restart killed workers."""

    def __init__(self, stack: Stack, mails: SmtpSink) -> None:
        self.stack, self.mails = stack, mails
        self.points = Path(stack.extra["KILL_POINTS"])
        self.person = stack.signed_in("small@example.com")
        self.undisturbed = {kind: self.completed(self.person.export(format=kind)) for kind in ("csv", "jsonl")}
        """Format -> file of an export without kills."""

    def wait(self, true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        def checked() -> Any:
            self.restart_killed()
            return true()

        return wait_until(checked, seconds, what=f"{what} (still armed: {points.armed(self.points)})")

    def restart_killed(self) -> None:
        """Restart killed workers, after their children have ended: no child may continue without a sweep."""
        for name in WORKERS:
            process = self.stack.processes[name]
            if process.poll() is not None:
                wait_until(partial(ended, process.pid), 5, what=f"the end of {name}'s children")
                self.stack.start(name)

    def arm(self, *names: str) -> None:
        for name in names:
            points.arm(self.points, name)

    def await_kills(self, *names: str) -> None:
        """Wait until a process has been killed at each of these points."""
        self.wait(lambda: set(names) <= {fall.point for fall in points.fallen(self.points)}, "every fall")

    def completed(self, export: str) -> bytes:
        """Wait until the export is READY. Return its file, after checking its rows and the recorded SHA-256."""

        def final() -> dict[str, Any] | None:
            seen = self.person.look(export)
            return seen if seen["state"] not in ("queued", "rendering", "assembling") else None

        seen = self.wait(final, f"the end of export {export}")
        assert (seen["state"], seen["rows_total"]) == ("ready", ROWS), seen["error"]
        body = self.person.download(export)
        assert hashlib.sha256(body).hexdigest() == seen["sha256"]
        return body

    def facts(self) -> dict[str, Any]:
        """Return the state of the database and the storage, after removing orphaned files."""
        return dict(json.loads(self.stack.shell(FACTS)))

    def message_ids(self) -> Counter[str]:
        """Return Message-ID -> number of copies that the mail server has accepted."""
        return Counter(str(mail["Message-ID"]) for mail in self.mails.accepted)


FACTS = """
import json
from datetime import timedelta
from django.conf import settings
from exports.storage import artifacts
from exports.upkeep import purge as purging
settings.CARRYALL |= {"ORPHAN_AGE": timedelta(0)}
purging.remove_orphans()
print(json.dumps({
    "exports": {str(export.uuid): export.artifact for export in Export.objects.all()},
    "files": [key for key, _ in artifacts.stored_keys()],
    "notices": [notice.link.strip("/").split("/")[-1] for notice in Notification.objects.filter(kind="export_ready")],
    "deliveries": [[each.channel, each.state, each.message_id.hex] for each in Delivery.objects.all()],
    "undone": Part.objects.exclude(state="joined").count(),
}))
"""


def ended(group: int) -> bool:
    return not members(group)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kill-points")
    with ExitStack() as ended:
        url = ended.enter_context(postgresql(folder / "pg")) if request.param == "postgresql" else ""
        mails = ended.enter_context(smtp_sink())
        environment: dict[str, Any] = CUT | {
            "KILL_POINTS": str(folder / "points"),
            "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}",
        }
        yield Site(ended.enter_context(running(folder, database_url=url, **environment)), mails)


@pytest.fixture(autouse=True)
def _reset(site: Site) -> None:
    """Delete the data of the previous test."""
    assert points.armed(site.points) == []
    site.stack.shell("Export.objects.all().delete(); Notification.objects.all().delete()")
    site.mails.accepted.clear()
    (site.points / points.LOG).unlink(missing_ok=True)


def assert_once(site: Site, *exports: str) -> None:
    """Assert that exactly these exports exist, each with one file, one in-app notification and one e-mail delivery."""

    def sent() -> dict[str, Any] | None:
        facts = site.facts()
        return facts if all(state == "sent" for _, state, _ in facts["deliveries"]) else None

    facts = site.wait(sent, "every delivery")
    assert sorted(facts["exports"]) == sorted(exports)
    assert sorted(facts["files"]) == sorted(facts["exports"].values())
    assert sorted(facts["notices"]) == sorted(exports)
    assert Counter(channel for channel, *_ in facts["deliveries"]) == dict.fromkeys(("in_app", "email"), len(exports))
    assert facts["undone"] == 0
    intents = {message_id for channel, _, message_id in facts["deliveries"] if channel == "email"}
    assert {name.strip("<>").partition("@")[0] for name in site.message_ids()} == intents


@ON_SQLITE
def test_a_kill_before_the_commit_of_a_click_leaves_nothing(site: Site) -> None:
    site.arm("click-before-commit")
    with pytest.raises(Fault):
        site.person.press(format="csv")
    site.await_kills("click-before-commit")
    assert site.facts()["exports"] == {}

    export = site.person.export(format="csv")
    assert site.completed(export) == site.undisturbed["csv"]
    assert_once(site, export)


@pytest.mark.parametrize("point", ["click-after-commit", "click-after-publish"])
def test_a_kill_after_the_commit_of_a_click_keeps_the_export(site: Site, point: str) -> None:
    """The client gets no answer. Its second click leads to the export of the first one."""
    site.arm(point)
    # Otherwise the export could be ready at the second click, which would start a new one.
    points.arm(site.points, CLAIMED, asleep=True)
    with pytest.raises(Fault):
        site.person.press(format="csv")
    site.await_kills(point)
    (kept,) = site.person.browser.get("/api/exports/").json()["exports"]
    assert site.person.export(format="csv") == kept["id"]
    site.await_kills(CLAIMED)
    points.wake(next(fall for fall in points.fallen(site.points) if fall.point == CLAIMED))
    assert site.completed(kept["id"]) == site.undisturbed["csv"]
    assert_once(site, kept["id"])


def test_an_export_completes_after_a_kill_at_any_point(site: Site) -> None:
    """Run several exports at once, and kill a process at each point."""
    site.arm(*LIFE)
    exports = {kind: site.person.export(format=kind) for kind in ("csv", "jsonl", "xlsx")}
    site.await_kills(*LIFE)
    files = {kind: site.completed(export) for kind, export in exports.items()}
    assert {kind: files[kind] for kind in site.undisturbed} == site.undisturbed
    assert_once(site, *exports.values())


@ON_SQLITE
def test_a_kill_before_the_commit_of_a_sent_mail_sends_one_more_copy(site: Site) -> None:
    site.arm("mail-accepted")
    export = site.person.export(format="csv")
    site.await_kills("mail-accepted")
    site.completed(export)
    assert_once(site, export)
    assert list(site.message_ids().values()) == [2]


@ON_SQLITE
def test_a_kill_around_the_commit_of_a_slot_runs_each_slot_once(site: Site) -> None:
    """The sweep opens slots that no Beat has opened, and is killed twice."""
    site.arm("slot-before-commit", "slot-after-commit")
    site.stack.shell("Slot.objects.all().delete()")  # the sweep has to open the latest slot of each schedule again
    site.await_kills("slot-before-commit", "slot-after-commit")

    def done() -> list[list[Any]]:
        slots = json.loads(site.stack.shell(SLOTS))
        return slots if slots and all(state == "done" for *_, state, _ in slots) else []

    slots = site.wait(done, "every slot")
    assert max(attempt for *_, attempt in slots) <= 1 + 2, "more claims than kills"
    assert len({(name, moment) for name, moment, *_ in slots}) == len(slots)


SLOTS = """
import json
print(json.dumps([[each.schedule, str(each.slot), each.state, each.attempt] for each in Slot.objects.all()]))
"""
