"""Tests of deliveries with a real mail server that accepts, refuses, stalls and disconnects, and records all mails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from durable import clock, retries
from durable.clock import Now
from durable.lease import Lease
from durable.sweep import sweep
from notifications.api import send_again
from notifications.channels import Channel, channels, email
from notifications.delivery import deliver
from notifications.errors import DeliveryError
from notifications.models import Delivery, Notification, Preference
from notifications.tasks import deliver_notification
from tests.support.notices import mail_of, make_user, tell
from tests.support.smtp_sink import SmtpSink, smtp_sink

pytestmark = pytest.mark.django_db
State = Delivery.State


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def sink(settings: Any) -> Iterator[SmtpSink]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = "127.0.0.1", 5
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.DEFAULT_FROM_EMAIL = "Carryall <carryall@mail.example>"
    with smtp_sink() as running:
        settings.EMAIL_PORT = running.port
        yield running


def attempted(user: User, **options: Any) -> Delivery:
    """Return the e-mail delivery after one attempt."""
    delivery = mail_of(tell(user, **options))
    deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=Now(), lease_until=None)


def test_repeated_tasks_send_one_mail(user: User, sink: SmtpSink) -> None:
    delivery = mail_of(tell(user))
    for _ in range(3):
        deliver_notification(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt, len(sink.accepted)) == (State.SENT, 1, 1)
    assert delivery.sent_at is not None


def test_the_mail_has_its_headers(user: User, sink: SmtpSink) -> None:
    delivery = attempted(user)
    mail = sink.accepted[0]
    assert mail["Message-ID"] == f"<{delivery.message_id.hex}@mail.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["To"] == "ada@example.com"
    assert mail["From"] == "Carryall <carryall@mail.example>"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_a_refused_address_is_a_permanent_failure(user: User, sink: SmtpSink) -> None:
    sink.refuse_for_good.add("ada@example.com")
    delivery = attempted(user)
    assert (delivery.state, delivery.error_code) == (State.FAILED, "mail_refused")
    assert delivery.error_message == "The mail server refused the address: 550 no such user"
    assert delivery.next_attempt_at is None


def test_a_temporary_refusal_is_retried_later(user: User, sink: SmtpSink) -> None:
    sink.refuse_for_now = True
    delivery = attempted(user)
    assert (delivery.state, delivery.error_code) == (State.PENDING, "mail_refused")
    assert delivery.next_attempt_at is not None
    wait = delivery.next_attempt_at - clock.now()
    assert timedelta(seconds=55) < wait < timedelta(seconds=75)
    deliver(delivery.pk)
    assert sink.connections == 1, "it is not due yet"

    sink.refuse_for_now = False
    make_due(delivery)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error_message, len(sink.accepted)) == (State.SENT, "", 1)


def test_a_delivery_fails_after_its_last_attempt_and_can_be_sent_again(user: User, sink: SmtpSink) -> None:
    sink.refuse_for_now = True
    delivery = mail_of(tell(user))
    for _ in range(Delivery.max_attempts + 2):
        deliver(delivery.pk)
        Delivery.objects.filter(pk=delivery.pk, state=State.PENDING).update(next_attempt_at=Now())
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt) == (State.FAILED, Delivery.max_attempts)

    sink.refuse_for_now = False
    assert send_again(delivery)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, len(sink.accepted)) == (State.SENT, 1)
    assert sink.accepted[0]["Message-ID"].startswith(f"<{delivery.message_id.hex}@")


def test_a_refused_message_is_a_permanent_failure(user: User, sink: SmtpSink) -> None:
    sink.refuse_message = True
    assert attempted(user).error_message == "The mail server refused the message: 554 not this one"


def test_a_server_that_disconnects_after_accepting_has_the_mail(user: User, sink: SmtpSink) -> None:
    sink.hang_up_after_yes = True
    assert attempted(user).state == State.SENT
    assert len(sink.accepted) == 1


def test_a_server_that_is_slow_to_accept_is_awaited(user: User, sink: SmtpSink, settings: Any) -> None:
    """It has the message by then, so a timeout would send it twice."""
    settings.EMAIL_TIMEOUT, sink.slow = 0.2, 0.6
    assert attempted(user).state == State.SENT
    assert len(sink.accepted) == 1


def test_the_wait_for_a_slow_server_is_limited(user: User, sink: SmtpSink, settings: Any) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAIL_PATIENCE": 0.2}
    sink.slow = 0.6
    delivery = attempted(user)
    assert (delivery.state, delivery.error_code) == (State.PENDING, "mail_server")
    assert "timed out" in delivery.error_message


def test_the_wait_for_a_silent_server_is_limited(user: User, sink: SmtpSink, settings: Any) -> None:
    settings.EMAIL_TIMEOUT, sink.silent = 0.2, True
    delivery = attempted(user)
    assert (delivery.state, delivery.error_code) == (State.PENDING, "mail_server")
    assert "timed out" in delivery.error_message


def test_an_unreachable_server_is_a_temporary_failure(user: User, settings: Any, sink: SmtpSink) -> None:
    settings.EMAIL_PORT = 1
    delivery = attempted(user)
    assert (delivery.state, delivery.error_code) == (State.PENDING, "mail_server")
    assert "Connection refused" in delivery.error_message


def test_an_address_cannot_inject_a_header(user: User, sink: SmtpSink) -> None:
    User.objects.filter(pk=user.pk).update(email="ada@example.com\nBcc: eve@example.com")
    delivery = attempted(user)
    assert (delivery.state, delivery.error_code) == (State.FAILED, "mail_unwritable")
    assert sink.accepted == []


@pytest.mark.parametrize(
    "label",
    ["Orders", "Orders " * 20 + "and more", "Замовлення 注文 طلبات 🧾", "注文 Orders " * 8 + "2026-01 été Ж"],
)
def test_subjects_in_any_script_and_length_are_sent_unchanged(label: str, user: User, sink: SmtpSink) -> None:
    attempted(user, context={"dataset_label": label})
    mail = sink.accepted[0]
    assert mail["Subject"].strip() == f"Your export failed: {label}"
    assert label in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_the_file_backend_writes_complete_mails(user: User, settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    assert attempted(user).state == State.SENT
    (file,) = tmp_path.iterdir()
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert mail["Subject"] == "Your export failed: Orders"


# --- claims, leases, the sweep --------------------------------------------------------------------------------------


@pytest.fixture
def pigeon(user: User) -> Iterator[type[Channel]]:
    """A custom channel, enabled for this user."""

    class Pigeon(Channel):
        key, label = "pigeon", "By pigeon"
        sent: ClassVar[list[int]] = []
        error: ClassVar[Exception | None] = None

        def deliver(self, delivery: Delivery) -> None:
            deliver(delivery.pk)  # by a second worker, in the middle of the attempt
            if self.error:
                raise self.error
            self.sent.append(delivery.pk)

    channels.register(Pigeon)
    Preference.objects.create(user=user, kind="export_failed", channel="pigeon", enabled=True)
    yield Pigeon
    channels.unregister("pigeon")


def by_pigeon(user: User) -> Delivery:
    return Delivery.objects.get(notification=tell(user), channel="pigeon")


def test_a_concurrent_worker_cannot_claim_the_delivery(user: User, pigeon: Any) -> None:
    delivery = by_pigeon(user)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (pigeon.sent, delivery.state, delivery.attempt) == ([delivery.pk], State.SENT, 1)


def test_an_unexpected_exception_is_retried(user: User, pigeon: Any) -> None:
    pigeon.error = ZeroDivisionError("wing")
    delivery = by_pigeon(user)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error_code) == (State.PENDING, "channel_failed")
    assert "wing" in delivery.error_message


def test_a_permanent_error_is_not_retried(user: User, pigeon: Any) -> None:
    pigeon.error = DeliveryError("The loft is closed.", permanent=True, code="closed")
    delivery = by_pigeon(user)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error_message) == (State.FAILED, "The loft is closed.")


def test_a_removed_channel_is_a_permanent_failure(user: User, pigeon: Any) -> None:
    delivery = by_pigeon(user)
    channels.unregister("pigeon")
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error_code) == (State.FAILED, "unknown_channel")


def test_a_lost_lease_writes_nothing(user: User, pigeon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = by_pigeon(user)

    def take_over(self: Channel, mine: Delivery) -> None:
        Delivery.objects.filter(pk=mine.pk).update(attempt=7)

    monkeypatch.setattr(pigeon, "deliver", take_over)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt) == (State.PENDING, 7)


def test_a_process_suspended_for_longer_than_its_lease_sends_nothing(
    user: User, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the claim and the mail, a second worker takes over the row and sends it."""
    delivery = mail_of(tell(user))
    composed = email.compose

    def suspend(mine: Delivery) -> Any:
        monkeypatch.setattr(email, "compose", composed)
        Delivery.objects.filter(pk=delivery.pk).update(lease_until=Now())
        deliver(delivery.pk)
        return composed(mine)

    monkeypatch.setattr(email, "compose", suspend)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt, len(sink.accepted)) == (State.SENT, 2, 1)


def test_a_delivery_of_a_deleted_user_is_ignored(user: User, sink: SmtpSink) -> None:
    delivery = mail_of(tell(user))
    user.delete()
    deliver(delivery.pk)
    assert sink.connections == 0


def test_a_deactivated_account_gets_no_mail(user: User, sink: SmtpSink) -> None:
    notification = tell(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    deliver(mail_of(notification).pk)
    assert (mail_of(notification).state, sink.connections) == (State.SKIPPED, 0)


@pytest.mark.django_db(transaction=True)
def test_a_sent_mail_is_recorded_when_the_database_is_back(
    user: User, sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, tries = Lease.finish, iter([OperationalError("away"), OperationalError("away"), None])

    def flaky(self: Lease[Delivery], **fields: Any) -> None:
        if error := next(tries):
            raise error
        finish(self, **fields)

    monkeypatch.setattr(Lease, "finish", flaky)
    monkeypatch.setattr(retries, "PAUSES", (0, 0, 0))
    assert attempted(user).state == State.SENT
    assert len(sink.accepted) == 1


def test_the_sweep_sends_a_lost_hint_again(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = mail_of(tell(user))
    sent: dict[str, list[int]] = {}

    def send(task: str, pks: list[int]) -> bool:
        sent[task] = list(pks)
        return True

    monkeypatch.setattr("durable.hints.send", send)
    sweep()
    assert sent == {}, "the first hint may still be under way"
    Delivery.objects.filter(pk=delivery.pk).update(published_at=None)
    sweep()
    assert sent == {"notifications.tasks.deliver_notification": [delivery.pk]}


def test_the_sweep_fails_a_delivery_that_kills_its_worker(user: User) -> None:
    delivery = mail_of(tell(user))
    Delivery.objects.filter(pk=delivery.pk).update(attempt=Delivery.max_attempts, lease_until=Now())
    assert sweep()["delivery: parked"] == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error_code) == (State.FAILED, "worker_died")


def test_other_mails_are_postponed_while_one_is_slow(user: User, sink: SmtpSink) -> None:
    slow = mail_of(tell(user, key="slow"))
    held = Delivery.objects.claim(slow.pk)
    assert held is not None
    other = mail_of(tell(user, key="other"))
    Delivery.objects.filter(pk=slow.pk).update(claimed_at=Now() - timedelta(seconds=3))

    deliver(other.pk)

    other.refresh_from_db()
    assert (other.attempt, other.published_at, len(sink.accepted)) == (0, None, 0), "the sweep will publish it again"
    held.finish(state=State.SENT, sent_at=Now())
    deliver(other.pk)
    assert len(sink.accepted) == 1


def test_a_dead_worker_does_not_postpone_other_mails(user: User, sink: SmtpSink) -> None:
    dead = mail_of(tell(user, key="dead"))
    assert Delivery.objects.claim(dead.pk) is not None
    Delivery.objects.filter(pk=dead.pk).update(
        claimed_at=Now() - timedelta(seconds=14), lease_until=Delivery.moment_in(16)
    )
    attempted(user, key="other")
    assert len(sink.accepted) == 1


def test_a_mail_that_has_just_started_does_not_postpone_others(user: User, sink: SmtpSink) -> None:
    assert Delivery.objects.claim(mail_of(tell(user, key="quick")).pk) is not None
    attempted(user, key="other")
    assert len(sink.accepted) == 1


# --- the pause of a kind --------------------------------------------------------------------------------------------


def test_one_mail_per_failing_export_and_hour(user: User, sink: SmtpSink) -> None:
    """Each failure is shown on the site. The delivery of a mail that is not sent has the reason."""
    first = attempted(user, key="attempt 1", link="/exports/7/")
    for number in range(2, 13):
        notification = tell(user, key=f"attempt {number}", link="/exports/7/")
        mail = mail_of(notification)
        assert (mail.state, mail.error_code, mail.next_attempt_at) == (State.SKIPPED, "too_soon", None)
        assert "recently notified" in mail.error_message
        assert notification.deliveries.get(channel="in_app").state == State.SENT
    assert len(sink.accepted) == 1
    Notification.objects.filter(pk=first.notification_id).update(created_at=Now() - timedelta(minutes=61))
    assert mail_of(tell(user, key="attempt 13", link="/exports/7/")).state == State.PENDING


def test_a_pending_mail_counts_for_the_pause(user: User) -> None:
    assert mail_of(tell(user, key="first", link="/exports/7/")).state == State.PENDING
    assert mail_of(tell(user, key="second", link="/exports/7/")).state == State.SKIPPED


def test_a_failed_mail_does_not_count_for_the_pause(user: User) -> None:
    first = mail_of(tell(user, key="first", link="/exports/7/"))
    lost = {"state": State.FAILED, "next_attempt_at": None, "error_code": "refused", "error_message": "No."}
    Delivery.objects.filter(pk=first.pk).update(**lost)
    assert mail_of(tell(user, key="second", link="/exports/7/")).state == State.PENDING


def test_the_pause_is_per_kind_link_and_user(user: User, bob: User) -> None:
    tell(user, key="first", link="/exports/7/")
    others = [
        tell(user, key="another export", link="/exports/8/"),
        tell(user, "export_ready", key="ready", link="/exports/7/"),
        tell(bob, key="another owner", link="/exports/7/"),
        tell(user, key="no link", link=""),
        tell(user, key="no link again", link=""),
    ]
    assert {mail_of(notification).state for notification in others} == {State.PENDING}


def test_an_operator_can_send_a_skipped_mail(user: User, committing: Callable[[], AbstractContextManager[Any]]) -> None:
    tell(user, key="first", link="/exports/7/")
    skipped = mail_of(tell(user, key="second", link="/exports/7/"))
    with committing():
        assert send_again(skipped)
    assert mail_of(skipped.notification).state == State.PENDING
