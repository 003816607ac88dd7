"""Faults of the mail server, and workers that die while they send: one notification, one mail.

The tests share one site with a real worker. The ledger of the SMTP sink shows what was accepted. Only the tests that
expect a second copy of a mail allow one.
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
"""LEASE_SECONDS with QUICK_LEASES."""
PATIENCE = 8
"""Seconds that a connected mail server has to answer."""


class Mail(NamedTuple):
    """Columns of an e-mail delivery."""

    state: str
    attempt: int
    error_code: str
    error_message: str
    message_id: str
    leased_by: str


class Post:
    """The site and its mail server, with methods to send notifications and to look at their deliveries."""

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
        """Return the number of mails with the delivery's Message-ID that the server has accepted."""
        return sum(self.look(key).message_id in each for each in self.sink.message_ids())

    def notices_in_app(self, key: str) -> int:
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
    """The site, with a mail server without faults before and after the test."""
    site.sink.misbehave({})
    yield site
    site.sink.misbehave({})


def test_a_mail_is_retried_until_the_server_is_back(post: Post) -> None:
    post.sink.close()
    post.tell("down")
    failed = post.await_that("down", lambda mail: mail.attempt >= 2 and mail.error_code, "the second attempt")
    assert failed.error_code == "mail_server"
    assert "refused" in failed.error_message
    post.sink.listen()
    sent = post.await_end("down")
    assert (sent.state, sent.message_id, post.copies("down"), post.notices_in_app("down")) == (
        "sent", failed.message_id, 1, 1,
    )  # fmt: skip


def test_a_refused_address_does_not_block_other_mails(post: Post) -> None:
    post.sink.refuse_for_good = {SMALL}
    post.tell("refused")
    post.tell("taken", ENTERPRISE)
    refused, taken = post.await_end("refused"), post.await_end("taken")
    assert (refused.state, refused.attempt, refused.error_code) == ("failed", 1, "mail_refused")
    assert "550 no such user" in refused.error_message
    assert (taken.state, post.copies("taken"), post.copies("refused")) == ("sent", 1, 0)
    assert post.notices_in_app("refused") == 1


def test_a_busy_server_is_retried_with_backoff(post: Post) -> None:
    post.sink.refuse_for_now = True
    before, began = post.sink.connections, time.monotonic()
    post.tell("busy")
    post.await_that("busy", lambda mail: mail.attempt == 3 and not mail.leased_by, "the third attempt")
    assert time.monotonic() - began > 1 + 2, "the backoff was not applied"
    assert post.sink.connections == before + 3, "there were more connections than attempts"
    post.sink.refuse_for_now = False
    assert post.await_end("busy").state == "sent"
    assert (post.copies("busy"), post.notices_in_app("busy")) == (1, 1)


def test_a_disconnect_after_the_acknowledgement_counts_as_sent(post: Post) -> None:
    post.sink.hang_up_after_yes = True
    post.tell("rude")
    assert (post.await_end("rude").attempt, post.copies("rude")) == (1, 1)


def test_a_server_that_never_greets_is_retried(post: Post) -> None:
    post.sink.silent = True
    post.tell("silent")
    post.await_that("silent", lambda mail: "timed out" in mail.error_message, "the first attempt")
    post.sink.silent = False
    assert post.await_end("silent").state == "sent"
    assert post.copies("silent") == 1


def test_a_slow_answer_may_exceed_the_lease_but_not_the_timeout(post: Post) -> None:
    """The lease is renewed while waiting. A server slower than MAIL_PATIENCE gets a second copy with the same id."""
    before = post.sink.connections
    post.sink.slow = LEASE + 1
    post.tell("slow")
    wait_until(lambda: post.sink.connections == before + 1, what="the first mail")
    time.sleep(0.5)  # the server has received the message by then
    post.sink.slow = PATIENCE + 1
    post.tell("too slow", ENTERPRISE)
    wait_until(lambda: post.sink.connections == before + 2, what="the second mail")
    time.sleep(0.5)
    post.sink.slow = 0

    slow, too_slow = post.await_end("slow"), post.await_end("too slow")
    assert (slow.state, slow.attempt, post.copies("slow")) == ("sent", 1, 1)
    assert (too_slow.state, too_slow.attempt) == ("sent", 2)
    wait_until(lambda: post.copies("too slow") == 2, what="the server's late acknowledgement of the first copy")
    assert post.notices_in_app("too slow") == 1


def test_a_lost_redis_does_not_interrupt_a_mail(post: Post) -> None:
    """A mail that a slow server has received is not sent again when Redis is lost before the answer."""
    before, children = post.sink.connections, post.stack.children("worker-high")
    post.sink.slow = LEASE - 2
    post.tell("cut off")
    wait_until(lambda: post.sink.connections == before + 1, what="the mail")
    time.sleep(0.5)  # the server has received the message by then
    post.stack.kill("redis")
    time.sleep(1)
    post.stack.start("redis")
    post.sink.slow = 0
    sent = post.await_end("cut off")
    assert (sent.state, sent.attempt) == ("sent", 1)
    post.tell("afterwards")
    assert post.await_end("afterwards").state == "sent"
    assert (post.copies("cut off"), post.stack.children("worker-high")) == (1, children)


def test_death_before_the_commit_of_a_sent_mail_causes_one_copy_with_the_same_id(post: Post) -> None:
    points.arm(post.fatal, "mail-accepted")
    post.tell("killed")
    sent = post.await_end("killed")
    assert [fall.point for fall in points.fallen(post.fatal)] == ["mail-accepted"]
    assert (sent.state, sent.attempt, post.copies("killed"), post.notices_in_app("killed")) == ("sent", 2, 2, 1)


def test_a_worker_stopped_for_longer_than_its_lease_sends_nothing(post: Post) -> None:
    """The first worker is stopped while it waits for the greeting, and resumed after another has sent the mail."""
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
    wait_until(lambda: "attempt 1 lost its lease" in post.stack.log, what="the first worker to stop")
    assert post.copies("zombie") == 1
