"""Tests of the weekly report: its figures, its PDF, its mail, and the chain of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.utils import timezone
from pypdf import PdfReader
from pytest_django import Settings

from exports.models import Export, UsageReport
from exports.storage import artifacts
from exports.upkeep import usage_report
from notifications.delivery import deliver
from notifications.models import Delivery, Notification
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import committed, export_in, files, part_in, sweep_now

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
START = datetime(2026, 7, 6, tzinfo=UTC)
END = START + timedelta(days=7)
INSIDE = START + timedelta(days=2)


def ended(owner: User, state: str, at: datetime = INSIDE, **facts: Any) -> Export:
    return export_in(state, owner, finished_at=at, **facts)


@pytest.fixture
def week(ada: User, bob: User) -> None:
    """Ada: exports of 100 rows (ready), 50 (expired) and one that failed. Bob: one at the start of the week."""
    ready = ended(ada, "ready", rows=100, size=1_000, seconds=2.0)
    part_in("joined", ready, 0, seconds=3.5)
    part_in("joined", ready, 1, seconds=4.5)
    ended(ada, "expired", rows=50, size=500, seconds=1.0, at=END - timedelta(microseconds=1))
    part_in("failed", ended(ada, "failed", rows=7_000, seconds=0.25), seconds=0.75)
    ended(bob, "ready", rows=9, size=90, seconds=20.0, at=START)
    ended(bob, "ready", rows=1_000_000, size=1, at=END)
    ended(bob, "ready", rows=1_000_000, size=1, at=START - timedelta(microseconds=1))
    export_in("rendering", bob, rows=1_000_000)


def report(**facts: Any) -> UsageReport:
    return UsageReport.objects.create(week="2026-W28", start=START, end=END, **facts)


def run_stages(made: UsageReport) -> list[dict[str, Any]]:
    """Run the three stages. Return their results."""
    with committed():
        results = [link(made.pk) for link in (usage_report.collect, usage_report.render, usage_report.send)]
    made.refresh_from_db()
    return results


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("week")
def test_the_figures_of_a_week() -> None:
    assert usage_report.figures_of(START, END) == {
        "customers": [
            {"name": "bob", "exports": 1, "rows": 9, "bytes": 90, "seconds": 20.0},
            {"name": "ada", "exports": 3, "rows": 150, "bytes": 1_500, "seconds": 12.0},
        ],
        "totals": {"exports": 4, "rows": 159, "bytes": 1_590, "seconds": 32.0},
    }


def test_the_figures_of_a_week_without_exports() -> None:
    nothing = {"exports": 0, "rows": 0, "bytes": 0, "seconds": 0}
    assert usage_report.figures_of(START, END) == {"customers": [], "totals": nothing}


@pytest.mark.parametrize(
    ("now", "zone", "name", "start", "end"),
    [
        ("2026-07-13T06:00+00:00", "UTC", "2026-W28", "2026-07-06T00:00", "2026-07-13T00:00"),
        ("2026-07-19T23:59+00:00", "UTC", "2026-W28", "2026-07-06T00:00", "2026-07-13T00:00"),
        ("2026-01-05T06:00+00:00", "UTC", "2026-W01", "2025-12-29T00:00", "2026-01-05T00:00"),
        ("2026-03-30T06:00+00:00", "Europe/Berlin", "2026-W13", "2026-03-22T23:00", "2026-03-29T22:00"),
        ("2026-07-12T16:00+00:00", "Asia/Tokyo", "2026-W28", "2026-07-05T15:00", "2026-07-12T15:00"),
    ],
)
def test_the_last_week_is_in_the_time_zone_of_the_site(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, now: str, zone: str, name: str, start: str, end: str
) -> None:
    settings.TIME_ZONE = zone
    monkeypatch.setattr(timezone, "now", lambda: datetime.fromisoformat(now))
    assert usage_report.open_last_week() == {"week": name, "report": "started"}
    made = UsageReport.objects.get()
    assert [f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}" for moment in (made.start, made.end)] == [start, end]


def test_a_report_is_created_once() -> None:
    with committed():
        first, second = usage_report.open_week(START, END), usage_report.open_week(START, END)
    assert first == (second[0], True)
    assert not second[1]
    assert hints.sent == [("exports.tasks.advance_report", (first[0].pk,))]


def test_a_failed_report_is_started_again_and_a_sent_one_is_not() -> None:
    report, _ = usage_report.open_week(START, END)
    ended = {"next_attempt_at": None, "attempt": report.attempt_limit}
    UsageReport.objects.filter(pk=report.pk).update(stage="failed", error_message="no disk", **ended)
    with committed():
        assert usage_report.open_week(START, END) == (report, True)
    assert hints.sent == [("exports.tasks.advance_report", (report.pk,))]
    assert UsageReport.objects.claim(report.pk) is not None
    report.refresh_from_db()
    assert (report.stage, report.error_message) == ("collect", "")

    stored = {"artifact": "reports/x.pdf", "size": 1, "sha256": "ab" * 32, "sent_at": timezone.now()}
    UsageReport.objects.filter(pk=report.pk).update(stage="sent", next_attempt_at=None, **stored)
    assert usage_report.open_week(START, END) == (report, False)


# --- the chain ------------------------------------------------------------------------------------------------------


@pytest.fixture
def boss(settings: Settings) -> User:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    boss = User.objects.create_user("boss", "boss@example.com", is_staff=True)
    boss.user_permissions.add(Permission.objects.get(codename="view_usagereport"))
    return boss


@pytest.mark.usefixtures("week")
def test_the_report_reaches_the_staff_as_a_pdf(ada: User, boss: User) -> None:
    made = report()
    collected, rendered, sent = run_stages(made)
    assert (collected["customers"], rendered["pages"], sent["recipients"]) == (2, 1, 1)
    assert (made.stage, made.next_attempt_at, files()) == ("sent", None, {made.artifact})
    with artifacts.open_artifact(made.artifact) as file:
        text = PdfReader(file).pages[0].extract_text()
    assert all(word in text for word in ("2026-W28", "ada", "bob", "159", "1,500"))
    for delivery in Delivery.objects.filter(state="pending"):
        deliver(delivery.pk)
    (message,) = mail.outbox
    assert message.to == ["boss@example.com"]
    ((name, content, kind),) = [tuple(attached) for attached in message.attachments]
    assert (str(name).endswith(".pdf"), kind, len(content)) == (True, "application/pdf", made.size)
    assert not Notification.objects.of(ada.pk).exists()


def test_only_staff_with_the_permission_get_the_report(ada: User, boss: User) -> None:
    """The report names all customers."""
    User.objects.create_user("helper", "helper@example.com", is_staff=True)
    ada.user_permissions.add(Permission.objects.get(codename="view_usagereport"))  # but is not staff
    left = User.objects.create_user("left", "left@example.com", is_staff=True, is_superuser=True, is_active=False)
    chief = User.objects.create_user("chief", "chief@example.com", is_staff=True, is_superuser=True)
    *_, sent = run_stages(report())
    assert sent["recipients"] == 2
    assert set(Notification.objects.values_list("user", flat=True)) == {boss.pk, chief.pk}
    assert left.pk not in set(Delivery.objects.values_list("notification__user", flat=True))


@pytest.mark.urls("tests.support.other_admin")
def test_the_report_links_to_the_admin_wherever_it_is(boss: User) -> None:
    run_stages(report())
    assert Notification.objects.get().link == "/backstage/exports/usagereport/"


def test_an_empty_week_has_a_report(boss: User) -> None:
    made = report()
    run_stages(made)
    assert made.stage == "sent"


def test_a_task_of_another_stage_does_nothing(boss: User) -> None:
    made = report()
    assert [usage_report.send(made.pk), usage_report.render(made.pk)] == [{}, {}]
    made.refresh_from_db()
    assert (made.stage, made.attempt) == ("collect", 0)


@pytest.mark.parametrize(
    ("done", "left"), [(0, ["collect", "render", "send"]), (1, ["render", "send"]), (2, ["send"]), (3, [])]
)
def test_the_chain_continues_at_the_stage_that_is_due(
    boss: User, monkeypatch: pytest.MonkeyPatch, done: int, left: list[str]
) -> None:
    chains: list[list[str]] = []
    monkeypatch.setattr(
        "celery.canvas._chain.apply_async", lambda self: chains.append([link.task for link in self.tasks])
    )
    made = report()
    for link in (usage_report.collect, usage_report.render, usage_report.send)[:done]:
        link(made.pk)
    hints.sent.clear()
    lapse(made)
    assert sweep_now().get("usagereport: published", 0) == (1 if left else 0)
    usage_report.advance(made.pk)
    assert chains == ([[f"exports.tasks.{stage}_report" for stage in left]] if len(left) > 1 else chains)


def test_a_failing_stage_is_retried_and_then_fails(boss: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> int:
        raise ZeroDivisionError("no good")

    monkeypatch.setattr(usage_report, "write_pdf", broken)
    made = report()
    usage_report.collect(made.pk)
    for attempt in range(2, 7):
        assert "no good" in usage_report.render(made.pk)["error"]
        made.refresh_from_db()
        assert (made.attempt, made.stage) == (attempt, "failed" if attempt == 6 else "render")
        make_due(made)
    assert "no good" in made.error_message
    assert Notification.objects.of(boss.pk).count() == 0


def test_the_sweep_fails_a_report_that_kills_its_worker() -> None:
    made = report(attempt=4)
    assert UsageReport.objects.claim(made.pk) is not None
    lapse(made)
    assert sweep_now()["usagereport: parked"] == 1
    made.refresh_from_db()
    assert (made.stage, "without reporting" in made.error_message) == ("failed", True)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Discard tasks: a chain of a single task is sent as a task, not as a chain."""
    monkeypatch.setattr("celery.app.task.Task.apply_async", lambda self, *args, **kwargs: None)
    yield
