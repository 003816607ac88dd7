"""Zombie workers: stopped for longer than their lease, replaced by another worker, and then resumed.

Nothing shows that such a worker is dead, so its lease has to expire. Its later writes are refused, and its files are
orphans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.processes import worker
from tests.support import points
from tests.support.points import Fall
from tests.support.smtp_sink import SmtpSink, smtp_sink
from tests.support.stack import Person, Stack, running, wait_until

WORKERS = ("worker-high", "worker-bulk")
ELSEWHERE = "elsewhere"
LEASE_SECONDS = 3
QUICK = {
    "LEASE_SECONDS": str(LEASE_SECONDS), "RENEW_EVERY": "1", "REPUBLISH_AFTER": "2",
    "ROWS_PER_PART": "20", "SMALL_ROWS": "10",
}  # fmt: skip
ROWS = 50
"""Rows of the small customer: three parts, and too many for a small export, so that both queues are used."""


class Scene:
    """A site with two workers of each queue, as on two machines. Ended processes are not restarted."""

    def __init__(self, stack: Stack, mails: SmtpSink) -> None:
        self.stack, self.mails = stack, mails
        self.points = Path(stack.extra["KILL_POINTS"])
        self.person: Person = stack.signed_in("small@example.com")
        self.undisturbed = self.whole(self.person.export(format="csv"))

    def whole(self, export: str) -> bytes:
        """Wait until the export is READY. Return its file, after checking the recorded SHA-256."""
        seen = self.person.await_end(export)
        assert (seen["state"], seen["rows_total"]) == ("ready", ROWS), seen["error"]
        body = self.person.download(export)
        assert hashlib.sha256(body).hexdigest() == seen["sha256"]
        return body

    def asleep_at(self, point: str) -> tuple[str, Fall]:
        """Start an export. Return its id and the process that has stopped itself at the point."""
        points.arm(self.points, point, asleep=True)
        export = self.person.export(format="csv")
        (fall,) = wait_until(lambda: points.fallen(self.points), what=f"a process at {point}")
        return export, fall

    def log(self, program: str) -> str:
        return (self.stack.folder / f"{program}.log").read_text(errors="replace")

    def wake(self, zombie: Fall, logged: str) -> None:
        """Resume the stopped process, and wait until it has logged this text."""
        before = self.log(zombie.program).count(logged)
        points.wake(zombie)
        wait_until(lambda: self.log(zombie.program).count(logged) > before, what=f"'{logged}' from {zombie.program}")

    def facts(self, purge: bool = False) -> dict[str, Any]:
        return dict(json.loads(self.stack.shell(f"purge = {purge}\n{FACTS}")))


FACTS = """
import json
from datetime import timedelta
from django.conf import settings
from exports.storage import artifacts
from exports.upkeep import purge as purging
settings.CARRYALL |= {"ORPHAN_AGE": timedelta(0)}
if purge:
    purging.remove_orphans()
(export,) = Export.objects.all()
print(json.dumps({
    "artifact": export.artifact, "attempt": export.attempt,
    "files": [key for key, _ in artifacts.stored_keys()],
    "attempts": sorted(part.attempt for part in export.parts.all()),
    "taken_over": max((part.claimed_at.timestamp() for part in export.parts.filter(attempt=2)), default=0),
    "notices": Notification.objects.count(),
    "mails": [[each.state, each.attempt, each.message_id.hex] for each in Delivery.objects.filter(channel="email")],
}))
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("zombies")
    with ExitStack() as ended:
        mails = ended.enter_context(smtp_sink())
        environment: dict[str, Any] = QUICK | {
            "KILL_POINTS": str(folder / "points"),
            "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}",
        }
        stack = ended.enter_context(running(folder, **environment))
        start_elsewhere(stack)
        yield Scene(stack, mails)


def start_elsewhere(stack: Stack) -> None:
    """Start a second worker of each queue, configured as if on another machine."""
    for name in WORKERS:
        # Another port, for another node name in Redis.
        own = worker(name.removeprefix("worker-"), stack.var_dir, stack.port + 1)
        other = replace(own, name=f"{name}-{ELSEWHERE}", environment={"MACHINE": ELSEWHERE})
        stack.programs[other.name] = other
        stack.start(other.name)
    for name in WORKERS:
        log = stack.folder / f"{name}-{ELSEWHERE}.log"
        wait_until(partial(logged_ready, log), 40, what=f"{log.stem} ready")


def logged_ready(log: Path) -> bool:
    return " ready" in log.read_text(errors="replace")


@pytest.fixture(autouse=True)
def _reset(scene: Scene) -> None:
    """Delete the data of the previous test."""
    scene.stack.shell("Export.objects.all().delete(); Notification.objects.all().delete()")
    scene.mails.accepted.clear()
    (scene.points / points.LOG).unlink(missing_ok=True)


def await_mail(scene: Scene) -> list[Any]:
    """Wait until the only e-mail delivery is sent. Return its state, attempt and Message-ID."""

    def sent() -> list[Any] | None:
        (mail,) = scene.facts()["mails"]
        return list(mail) if mail[0] == "sent" else None

    return list(wait_until(sent, what="the mail"))


def assert_once(scene: Scene, export: str, purge: bool = True) -> dict[str, Any]:
    """Assert that the export has the right bytes, one file, one notification and one mail."""
    assert scene.whole(export) == scene.undisturbed
    await_mail(scene)
    facts = scene.facts(purge)
    assert facts["files"] == [facts["artifact"]]
    assert (facts["notices"], len(facts["mails"])) == (1, 1)
    return facts


def test_a_part_zombie_writes_nothing_more(scene: Scene) -> None:
    export, zombie = scene.asleep_at("part-stored")
    assert scene.whole(export) == scene.undisturbed, "another worker did not take over"

    scene.wake(zombie, "attempt 1 lost its lease.")
    assert assert_once(scene, export)["attempts"][-1] == 2
    assert len(scene.mails.accepted) == 1


def test_an_assembly_zombie_produces_no_second_file_or_mail(scene: Scene) -> None:
    export, zombie = scene.asleep_at("assembled-stored")
    assert scene.whole(export) == scene.undisturbed, "another worker did not take over"

    scene.wake(zombie, "lost its lease.")
    facts = assert_once(scene, export, purge=False)  # the zombie has removed its file itself
    assert facts["attempt"] == 3  # one to plan and two to assemble
    assert len(scene.mails.accepted) == 1


def test_a_mail_zombie_causes_at_most_one_more_copy(scene: Scene) -> None:
    """The acknowledged mail was not recorded, so another worker sends it again with the same Message-ID."""
    export, zombie = scene.asleep_at("mail-accepted")
    assert await_mail(scene)[:2] == ["sent", 2], "another worker did not take over"

    scene.wake(zombie, "attempt 1 lost its lease.")
    facts = assert_once(scene, export)
    assert facts["mails"][0][:2] == ["sent", 2]
    assert len(scene.mails.accepted) == 2
    assert len({str(mail["Message-ID"]) for mail in scene.mails.accepted}) == 1


def test_rows_of_a_dead_machine_are_freed_when_the_lease_expires(scene: Scene) -> None:
    """Other machines cannot see that a process has ended, so its rows are freed only when the lease expires."""
    export, dead = scene.asleep_at("part-stored")
    for name in WORKERS:
        scene.stack.kill(f"{name}-{ELSEWHERE}" if ELSEWHERE in dead.program else name)
    facts = assert_once(scene, export)
    assert facts["attempts"][-1] == 2
    assert facts["taken_over"] > dead.moment + LEASE_SECONDS - 0.5
