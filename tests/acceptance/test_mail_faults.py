"""A mail server that is down, slow, busy or rude, and a worker that dies at the worst moment: told once, by one mail.

One site with the real worker, and the sink's ledger as the proof. The only second copies there may be are counted here.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import points
from tests.support.console import Console, console
from tests.support.smtp_sink import SmtpSink, smtp_sink
from tests.support.stack import ENTERPRISE, SMALL, Stack, running, wait_until

LEASE = 6
"""Seconds, with QUICK_LEASES."""
PATIENCE = 8
"""Seconds that a connected mail server is given for an answer."""


class Mail(NamedTuple):
    """A delivery by e-mail, as its row says."""

    state: str
    attempt: int
    error_code: str
    error_message: str
    message_id: str
    leased_by: str


class Post:
    """The site with its mail server: tell somebody something, and see what comes of it."""

    def __init__(self, stack: Stack, shell: Console, sink: SmtpSink, fatal: Path) -> None:
        self.stack, self.shell, self.sink, self.fatal = stack, shell, sink, fatal

    def tell(self, key: str, email: str = SMALL) -> None:
        person = f"User.objects.get(username={email!r})"
        self.shell.run(f"notify({person}, 'export_failed', dedupe_key={key!r}, context={{'reason': 'x'}})")

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        database = sqlite3.connect(self.stack.var_dir / "db.sqlite3", timeout=20)
        try:
            return database.execute(sql, values).fetchall()
        finally:
            database.close()

    def look(self, key: str) -> Mail:
        (found,) = self._rows(
            f"SELECT {', '.join('d.' + name for name in Mail._fields)} FROM notifications_delivery d"
            " JOIN notifications_notification n ON n.id = d.notification_id"
            " WHERE n.dedupe_key = ? AND d.channel = 'email'",
            key,
        )
        return Mail(*found)

    def await_end(self, key: str) -> Mail:
        return self.await_that(key, lambda mail: mail.state != "pending", "the end")

    def await_that(self, key: str, true: Any, what: str) -> Mail:
        wait_until(lambda: true(self.look(key)), 40, what=f"{what} of {key}")
        return self.look(key)

    def copies(self, key: str) -> int:
        """How many the server has accepted, by the Message-ID that the row has had from the start."""
        return sum(self.look(key).message_id in each for each in self.sink.message_ids())

    def told_in_app(self, key: str) -> int:
        sql = (
            "SELECT d.id FROM notifications_delivery d JOIN notifications_notification n ON n.id = d.notification_id"
            " WHERE n.dedupe_key = ? AND d.channel = 'in_app' AND d.state = 'sent'"
        )
        return len(self._rows(sql, key))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    folder = tmp_path_factory.mktemp("mail")
    with smtp_sink() as sink:
        environment: dict[str, Any] = {
            "EMAIL_URL": f"smtp://127.0.0.1:{sink.port}?timeout=3",
            "MAIL_PATIENCE": str(PATIENCE),
            "BACKOFF_FIRST": "1",
            "KILL_POINTS": str(folder / "points"),
        }
        with running(folder, "worker-high", **environment) as stack, console(stack) as shell:
            yield Post(stack, shell, sink, folder / "points")


@pytest.fixture
def post(site: Post) -> Iterator[Post]:
    """The site, with a mail server that is as it should be before and after."""
    site.sink.misbehave({})
    yield site
    site.sink.misbehave({})


def test_a_server_that_is_down_gets_its_mail_when_it_is_back(post: Post) -> None:
    post.sink.close()
    post.tell("down")
    failed = post.await_that("down", lambda mail: mail.attempt >= 2 and mail.error_code, "the second attempt")
    assert failed.error_code == "mail_server"
    assert "refused" in failed.error_message
    post.sink.listen()
    sent = post.await_end("down")
    assert (sent.state, sent.message_id, post.copies("down"), post.told_in_app("down")) == (
        "sent", failed.message_id, 1, 1,
    )  # fmt: skip


def test_one_address_that_is_refused_holds_up_nobody(post: Post) -> None:
    post.sink.refuse_for_good = {SMALL}
    post.tell("refused")
    post.tell("taken", ENTERPRISE)
    refused, taken = post.await_end("refused"), post.await_end("taken")
    assert (refused.state, refused.attempt, refused.error_code) == ("failed", 1, "mail_refused")
    assert "550 no such user" in refused.error_message
    assert (taken.state, post.copies("taken"), post.copies("refused")) == ("sent", 1, 0)
    assert post.told_in_app("refused") == 1


def test_a_busy_server_is_asked_again_later_and_later(post: Post) -> None:
    post.sink.refuse_for_now = True
    before, began = post.sink.connections, time.monotonic()
    post.tell("busy")
    post.await_that("busy", lambda mail: mail.attempt == 3 and not mail.leased_by, "the third attempt")
    assert time.monotonic() - began > 1 + 2, "it was not waited for"
    assert post.sink.connections == before + 3, "it was asked more often than attempts were counted"
    post.sink.refuse_for_now = False
    assert post.await_end("busy").state == "sent"
    assert (post.copies("busy"), post.told_in_app("busy")) == (1, 1)


def test_a_server_that_hangs_up_after_its_yes_has_the_mail(post: Post) -> None:
    post.sink.hang_up_after_yes = True
    post.tell("rude")
    assert (post.await_end("rude").attempt, post.copies("rude")) == (1, 1)


def test_a_server_that_never_greets_is_left_alone_until_it_does(post: Post) -> None:
    post.sink.silent = True
    post.tell("silent")
    post.await_that("silent", lambda mail: "timed out" in mail.error_message, "the first attempt")
    post.sink.silent = False
    assert post.await_end("silent").state == "sent"
    assert post.copies("silent") == 1


def test_a_slow_yes_is_waited_for_beyond_the_lease_but_not_for_ever(post: Post) -> None:
    """The lease is renewed meanwhile. Whoever is slower than our patience gets a second copy, of the same id."""
    before = post.sink.connections
    post.sink.slow = LEASE + 1
    post.tell("slow")
    wait_until(lambda: post.sink.connections == before + 1, what="the first mail")
    time.sleep(0.5)  # it is in the server's hands by then
    post.sink.slow = PATIENCE + 1
    post.tell("too slow", ENTERPRISE)
    wait_until(lambda: post.sink.connections == before + 2, what="the second mail")
    time.sleep(0.5)
    post.sink.slow = 0

    slow, too_slow = post.await_end("slow"), post.await_end("too slow")
    assert (slow.state, slow.attempt, post.copies("slow")) == ("sent", 1, 1)
    assert (too_slow.state, too_slow.attempt) == ("sent", 2)
    wait_until(lambda: post.copies("too slow") == 2, what="the server's late yes to the first copy")
    assert post.told_in_app("too slow") == 1


def test_a_lost_redis_stops_no_mail(post: Post) -> None:
    """A slow server has the mail in its hands when the connection to Redis is gone: it is not sent a second time."""
    before, children = post.sink.connections, post.stack.children("worker-high")
    post.sink.slow = LEASE - 2
    post.tell("cut off")
    wait_until(lambda: post.sink.connections == before + 1, what="the mail")
    time.sleep(0.5)  # it is in the server's hands by then
    post.stack.kill("redis")
    time.sleep(1)
    post.stack.start("redis")
    post.sink.slow = 0
    sent = post.await_end("cut off")
    assert (sent.state, sent.attempt) == ("sent", 1)
    post.tell("afterwards")
    assert post.await_end("afterwards").state == "sent"
    assert (post.copies("cut off"), post.stack.children("worker-high")) == (1, children)


def test_death_between_the_servers_yes_and_our_commit_costs_one_copy_with_the_same_id(post: Post) -> None:
    points.arm(post.fatal, "mail-accepted")
    post.tell("killed")
    sent = post.await_end("killed")
    assert [fall.point for fall in points.fallen(post.fatal)] == ["mail-accepted"]
    assert (sent.state, sent.attempt, post.copies("killed"), post.told_in_app("killed")) == ("sent", 2, 2, 1)


def test_who_stood_still_for_longer_than_the_lease_sends_nothing(post: Post) -> None:
    """The first worker is stopped while it waits for the greeting; it wakes up when the mail has been sent."""
    post.sink.silent = True
    post.tell("zombie")
    held = post.await_that("zombie", lambda mail: mail.leased_by, "the claim")
    zombie = int(held.leased_by.rsplit(":", 2)[1])
    assert zombie in post.stack.children("worker-high")
    os.kill(zombie, signal.SIGSTOP)
    try:
        post.sink.silent = False
        sent = post.await_end("zombie")
    finally:
        os.kill(zombie, signal.SIGCONT)
    assert (sent.state, sent.attempt, post.copies("zombie")) == ("sent", 2, 1)
    wait_until(lambda: "somebody else holds it after attempt 1" in post.stack.log, what="the first worker's retreat")
    assert post.copies("zombie") == 1
