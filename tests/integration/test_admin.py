"""Tests of the admin: all pages with rows, lists, filters and actions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from durable import admin_lists, admin_users
from exports.datasets import datasets
from exports.formats import formats
from exports.intake.requests import cancel_export
from exports.models import Download, Export, Part, Slot, UsageReport
from notifications.api import notify
from notifications.models import PushSubscription, Webhook, WebhookAttempt
from tests.support import hints
from tests.support.exports import committed, export_in, part_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
NOW = timezone.now()


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com"))
    return client


@pytest.fixture
def rows(ada: User) -> list[Export]:
    """An export in each state with a part, and one row of each other model in the admin."""
    exports = [
        export_in(state, ada)
        for state in ("queued", "rendering", "assembling", "ready", "failed", "cancelled", "expired")
    ]
    for export in exports:
        part_in("waiting" if export.is_open else "cancelled", export)
    Download.objects.create(export=exports[3], user=ada)
    Slot.objects.create(schedule="purge", slot=NOW)
    UsageReport.objects.create(week="2026-W28", start=NOW, end=NOW)
    notice = notify(ada, "export_failed", dedupe_key="x", context={"reason": "it was so"})
    webhook = Webhook.objects.create(user=ada, url="https://example.com/")
    WebhookAttempt.objects.create(webhook=webhook, delivery=notice.deliveries.first(), attempt=1, seconds=0.1)  # type: ignore[union-attr, misc]
    PushSubscription.objects.create(user=ada, endpoint="https://example.com/push")
    TaskResult.objects.create(task_id="x", task_name="exports.tasks.run_slot")
    return exports


def url(model: type[models.Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_every_page_opens(staff: Client, model: type[models.Model]) -> None:
    """The list, a search in it, each of its filters, and one row."""
    assert staff.get(url(model, "changelist")).status_code == 200
    page = admin.site._registry[model]
    if page.get_search_fields(None):  # type: ignore[arg-type]
        assert staff.get(url(model, "changelist"), {"q": "ada"}).status_code == 200
    row = model._default_manager.first()
    if row is not None:
        assert staff.get(url(model, "change", row.pk)).status_code == 200


def test_all_models_of_the_project_are_tested_with_rows(rows: list[Export]) -> None:
    ours = [model for model in REGISTERED if model._meta.app_label in ("exports", "notifications")]
    assert {"Export", "Part", "Download", "Slot", "UsageReport", "Notification", "Delivery"} <= {
        model.__name__ for model in ours
    }
    assert all(model._default_manager.exists() for model in ours if model.__name__ != "Preference")


@pytest.mark.parametrize("model", [Export, Part, Download, Slot, UsageReport])
def test_rows_cannot_be_added_or_changed(staff: Client, rows: list[Export], model: type[models.Model]) -> None:
    """Exports alone can be added, by a form of their own: tests/integration/test_on_behalf.py."""
    row = model._default_manager.first()
    assert row is not None
    assert staff.get(url(model, "add")).status_code == (200 if model is Export else 403)
    assert staff.post(url(model, "change", row.pk), {"state": "ready"}).status_code == 403


def test_an_export_is_found_by_the_start_of_its_id(staff: Client, rows: list[Export]) -> None:
    for text in (str(rows[0].uuid)[:8], str(rows[0].uuid)):
        found = staff.get(url(Export, "changelist"), {"q": text}).context["cl"].queryset
        assert list(found) == [rows[0]]


def test_an_export_is_found_by_its_owner_only(staff: Client, rows: list[Export]) -> None:
    for text, count in (("ada@example", len(rows)), ("  ada  ", len(rows)), ("nobody", 0), ("%", 0), ("f" * 40, 0)):
        assert staff.get(url(Export, "changelist"), {"q": text}).context["cl"].queryset.count() == count
        assert staff.get(url(Part, "changelist"), {"q": text}).context["cl"].queryset.count() == count
    assert list(staff.get(url(Part, "changelist"), {"q": str(rows[1].uuid)}).context["cl"].queryset) == [
        rows[1].parts.get()
    ]


def test_a_search_that_finds_too_many_users_says_so(
    staff: Client, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_users, "MOST", 2)  # of boss, ada and bob
    for user in (ada, bob):
        export_in("ready", user)
    page = staff.get(url(Export, "changelist"), {"q": "@example"})
    assert page.context["cl"].queryset.count() == 1
    assert "More than 2 users match." in page.content.decode()


def test_a_long_list_says_that_it_is_cut(staff: Client, rows: list[Export], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "are listed and counted" not in staff.get(url(Export, "changelist")).content.decode()
    monkeypatch.setattr(admin_lists, "MOST", 3)
    page = staff.get(url(Export, "changelist"))
    assert page.context["cl"].result_count == 3
    assert "Only the newest 3 rows are listed and counted." in page.content.decode()


def test_the_filters_offer_all_registered_values(staff: Client) -> None:
    """They do not query the values that occur, which would scan the whole table."""
    filters = staff.get(url(Export, "changelist")).context["cl"].filter_specs
    offered = {spec.title: list(getattr(spec, "lookup_choices", ())) for spec in filters}
    assert offered["format"] == sorted(kind.key for kind in formats)
    assert offered["dataset"] == sorted(dataset.key for dataset in datasets)
    assert {"dataset_failed", "worker_died", "too_slow"} <= set(offered["error code"])


# --- slow -----------------------------------------------------------------------------------------------------------


def test_slow_work_is_found_while_it_runs_and_afterwards(staff: Client, ada: User) -> None:
    export = export_in("rendering", ada)
    was_slow = part_in("done", export, 0, longest_seconds=31.0, seconds=40.0)
    part_in("done", export, 1, longest_seconds=29.0, seconds=90.0)
    now = timezone.now()  # not NOW, which is old in a long test run
    long_ago, soon = now - timedelta(seconds=60), now + timedelta(seconds=600)
    is_slow = part_in("waiting", export, 2, claimed_at=long_ago, lease_until=soon)
    part_in("waiting", export, 3, claimed_at=now + timedelta(seconds=60), lease_until=soon)
    part_in("waiting", export, 4, claimed_at=long_ago, lease_until=long_ago)
    page = staff.get(url(Part, "changelist"), {"slow": "1"})
    assert set(page.context["cl"].queryset) == {was_slow, is_slow}
    assert "(slow)" in page.content.decode()


# --- actions --------------------------------------------------------------------------------------------------------


def act(staff: Client, action: str, *rows: models.Model) -> str:
    """Run an action on the rows. Return the page with its message."""
    chosen = {"action": action, "_selected_action": [row.pk for row in rows]}
    with committed():
        answer = staff.post(url(type(rows[0]), "changelist"), chosen, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("action", "moved", "to"),
    [
        ("retry", {"failed", "cancelled"}, "queued"),
        ("cancel", {"queued", "rendering", "assembling"}, "cancelled"),
        ("expire_now", {"ready"}, "expired"),
    ],
)
def test_an_action_changes_allowed_rows_and_reports_the_others(
    staff: Client, rows: list[Export], action: str, moved: set[str], to: str
) -> None:
    before = {export.pk: export.state for export in rows}
    page = act(staff, action, *rows)
    after = dict(Export.objects.values_list("pk", "state"))
    assert after == {pk: to if state in moved else state for pk, state in before.items()}
    assert f"{len(moved)} export" in page
    assert page.count("The export has changed") == len(rows) - len(moved)


def test_a_closed_slot_runs_again(staff: Client) -> None:
    closed = {"next_attempt_at": None, "finished_at": NOW, "attempt": 5}
    failed = Slot.objects.create(schedule="purge", slot=NOW, state="failed", **closed)
    waiting = Slot.objects.create(schedule="remind", slot=NOW)
    assert "1 slot runs again" in act(staff, "run_again", failed, waiting)
    assert hints.sent == [("exports.tasks.run_slot", (failed.pk,))]
    lease = Slot.objects.claim(failed.pk)
    assert lease is not None
    assert (lease.work.failures, lease.last_attempt) == (1, False)


PURGE = "exports.tasks.purge_expired_exports"


@pytest.mark.parametrize(
    ("schedule", "fields", "words"),
    [
        (PURGE, {"outcome": {"expired": 12, "orphans": 3, "scratch": 0}},
         "expired exports removed: 12, orphaned files removed: 3"),
        (PURGE, {"outcome": {"expired": 0}}, "There was nothing to do."),
        ("of.a.host", {"outcome": {"sent": 4}}, "sent: 4"),
        (PURGE, {"state": "failed", "outcome": {"error": "OSError('full')"}}, "Failed: OSError(&#x27;full&#x27;)."),
        (PURGE, {"state": "waiting", "outcome": {"error": "OSError()"}}, "Failed: OSError(). It will be retried at "),
        (PURGE, {"state": "waiting"}, "Waiting for a worker."),
        (PURGE, {"state": "waiting", "lease_until": NOW}, "Running."),
    ],
)  # fmt: skip
def test_a_slot_shows_its_result(staff: Client, schedule: str, fields: dict[str, Any], words: str) -> None:
    waiting = fields.get("state") == "waiting"
    ends = {"next_attempt_at": NOW} if waiting else {"next_attempt_at": None, "finished_at": NOW}
    Slot.objects.create(**{"schedule": schedule, "slot": NOW, "by_hand": "a", "state": "done"} | ends | fields)
    assert words in staff.get(url(Slot, "changelist") + "?by_hand=1").content.decode()


def test_running_a_schedule_without_redis_shows_an_error(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(current_app.conf, "broker_url", "redis://127.0.0.1:1/0")
    page = act(staff, "run_tasks", PeriodicTask.objects.get(task=PURGE))
    assert "Redis is not responding, so not all tasks were started." in page
    assert "The tasks were started" not in page


def test_an_unknown_task_is_not_reported_as_started(staff: Client) -> None:
    gone = PeriodicTask.objects.create(name="gone", task="no.such", interval=IntervalSchedule.objects.create(every=9))
    page = act(staff, "run_tasks", PeriodicTask.objects.get(task=PURGE), gone)
    assert "no.such" in page
    assert "The tasks were started" not in page


def test_a_viewer_of_schedules_cannot_run_them(client: Client) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_periodictask"))
    client.force_login(clerk)
    assert "Run selected tasks" not in client.get(url(PeriodicTask, "changelist")).content.decode()
    act(client, "run_tasks", PeriodicTask.objects.get(task=PURGE))
    assert not Slot.objects.exclude(by_hand="").exists()


def test_deleting_an_export_deletes_its_parts(staff: Client, rows: list[Export]) -> None:
    assert staff.post(url(Export, "delete", rows[0].pk), {"post": "yes"}).status_code == 302
    assert not Part.objects.filter(export_id=rows[0].pk).exists()


@pytest.mark.parametrize("action", ["retry", "cancel", "expire_now"])
def test_a_viewer_of_exports_cannot_run_actions(client: Client, rows: list[Export], action: str) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_export"))
    client.force_login(clerk)
    before = dict(Export.objects.values_list("pk", "state"))
    act(client, action, *rows)
    assert dict(Export.objects.values_list("pk", "state")) == before


def test_attempts_are_shown_with_their_limit(staff: Client, ada: User) -> None:
    export = export_in("queued", ada, attempt=7, attempt_limit=9)
    assert "3 / 5" in staff.get(url(Export, "changelist")).content.decode()
    cancel_export(export)
