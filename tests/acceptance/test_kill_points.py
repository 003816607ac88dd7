"""A process dies at the worst moments, by name: between a commit and what should follow it, and on either side of it.

Real processes that kill themselves (tests/support/points.py), and somebody who starts again what fell.
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
"""Of the small customer: three parts, and too many to count as a small export, so that both workers are in it."""
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
"""Where a worker may fall between the click and the mail. A fall in a sweep takes the whole worker with it."""


class Site:
    """A running site whose processes are started again when they fall, by whoever waits for something."""

    def __init__(self, stack: Stack, mails: SmtpSink) -> None:
        self.stack, self.mails = stack, mails
        self.points = Path(stack.extra["KILL_POINTS"])
        self.person = stack.signed_in("small@example.com")
        self.undisturbed = {kind: self.come_through(self.person.export(format=kind)) for kind in ("csv", "jsonl")}
        """Format -> the file as it is when nobody falls."""

    def wait(self, true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        def looked_after() -> Any:
            self.look_after()
            return true()

        return wait_until(looked_after, seconds, what=f"{what} (armed still: {points.armed(self.points)})")

    def look_after(self) -> None:
        """Start again what has fallen. A worker that falls takes its children with it: none goes on without a sweep."""
        for name in WORKERS:
            process = self.stack.processes[name]
            if process.poll() is not None:
                wait_until(partial(gone, process.pid), 5, what=f"the end of {name}'s children")
                self.stack.start(name)

    def arm(self, *names: str) -> None:
        for name in names:
            points.arm(self.points, name)

    def await_falls(self, *names: str) -> None:
        """Each of these points has been somebody's last."""
        self.wait(lambda: set(names) <= {fall.point for fall in points.fallen(self.points)}, "every fall")

    def come_through(self, export: str) -> bytes:
        """READY, with all of its rows and the bytes that were recorded."""

        def ended() -> dict[str, Any] | None:
            seen = self.person.look(export)
            return seen if seen["state"] not in ("queued", "rendering", "assembling") else None

        seen = self.wait(ended, f"the end of export {export}")
        assert (seen["state"], seen["rows_total"]) == ("ready", ROWS), seen["error"]
        body = self.person.download(export)
        assert hashlib.sha256(body).hexdigest() == seen["sha256"]
        return body

    def facts(self) -> dict[str, Any]:
        """What the database and the storage say when nobody is at work any more."""
        return dict(json.loads(self.stack.shell(FACTS)))

    def message_ids(self) -> Counter[str]:
        """Message-ID -> how many copies the mail server has taken."""
        return Counter(str(mail["Message-ID"]) for mail in self.mails.accepted)


FACTS = """
import json
from datetime import timedelta
from django.conf import settings
from exports.storage import artifacts
from exports.upkeep import purge as purging
settings.EXPORTS |= {"ORPHAN_AGE": timedelta(0)}
purging.remove_orphans()
print(json.dumps({
    "exports": {str(export.uuid): export.artifact for export in Export.objects.all()},
    "files": [key for key, _ in artifacts.stored_keys()],
    "notices": [notice.link.strip("/").split("/")[-1] for notice in Notification.objects.filter(kind="export_ready")],
    "deliveries": [[each.channel, each.state, each.message_id.hex] for each in Delivery.objects.all()],
    "undone": Part.objects.exclude(state="joined").count(),
}))
"""


def gone(group: int) -> bool:
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
def _afresh(site: Site) -> None:
    """Nothing is left of the test before."""
    assert points.armed(site.points) == []
    site.stack.shell("Export.objects.all().delete(); Notification.objects.all().delete()")
    site.mails.accepted.clear()
    (site.points / points.LOG).unlink(missing_ok=True)


def assert_once(site: Site, *exports: str) -> None:
    """Each of these exports, and nothing else: one file, one notice in the app, one mail's intent."""

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
def test_a_click_that_dies_before_its_commit_has_left_nothing(site: Site) -> None:
    site.arm("click-before-commit")
    with pytest.raises(Fault):
        site.person.press(format="csv")
    site.await_falls("click-before-commit")
    assert site.facts()["exports"] == {}

    export = site.person.export(format="csv")
    assert site.come_through(export) == site.undisturbed["csv"]
    assert_once(site, export)


@pytest.mark.parametrize("point", ["click-after-commit", "click-after-publish"])
def test_a_click_that_dies_after_its_commit_is_kept(site: Site, point: str) -> None:
    """The client cannot know; pressing again, it is led to the export that it has."""
    site.arm(point)
    points.arm(site.points, CLAIMED, asleep=True)  # or it may be ready at the second click, which then asks for another
    with pytest.raises(Fault):
        site.person.press(format="csv")
    site.await_falls(point)
    (kept,) = site.person.browser.get("/api/exports/").json()["exports"]
    assert site.person.export(format="csv") == kept["id"]
    site.await_falls(CLAIMED)
    points.wake(next(fall for fall in points.fallen(site.points) if fall.point == CLAIMED))
    assert site.come_through(kept["id"]) == site.undisturbed["csv"]
    assert_once(site, kept["id"])


def test_a_fall_at_any_point_of_an_exports_life_is_healed(site: Site) -> None:
    """Several exports at once, and each point is the last of some process that is at one of them."""
    site.arm(*LIFE)
    exports = {kind: site.person.export(format=kind) for kind in ("csv", "jsonl", "xlsx")}
    site.await_falls(*LIFE)
    files = {kind: site.come_through(export) for kind, export in exports.items()}
    assert {kind: files[kind] for kind in site.undisturbed} == site.undisturbed
    assert_once(site, *exports.values())


@ON_SQLITE
def test_a_fall_between_the_mail_servers_yes_and_our_commit_sends_one_more_copy(site: Site) -> None:
    site.arm("mail-accepted")
    export = site.person.export(format="csv")
    site.await_falls("mail-accepted")
    site.come_through(export)
    assert_once(site, export)
    assert list(site.message_ids().values()) == [2]


@ON_SQLITE
def test_a_fall_around_a_slots_commit_runs_each_slot_once(site: Site) -> None:
    """The sweep opens what no Beat has opened; it falls twice on the way."""
    site.arm("slot-before-commit", "slot-after-commit")
    site.stack.shell("Slot.objects.all().delete()")  # the newest of each schedule is then to be opened again
    site.await_falls("slot-before-commit", "slot-after-commit")

    def ended() -> list[list[Any]]:
        slots = json.loads(site.stack.shell(SLOTS))
        return slots if slots and all(state == "done" for *_, state, _ in slots) else []

    slots = site.wait(ended, "every slot")
    assert max(attempt for *_, attempt in slots) <= 1 + 2, "more claims than falls can explain"
    assert len({(name, moment) for name, moment, *_ in slots}) == len(slots)


SLOTS = """
import json
print(json.dumps([[each.schedule, str(each.slot), each.state, each.attempt] for each in Slot.objects.all()]))
"""
