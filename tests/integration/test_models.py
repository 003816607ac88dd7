"""Constraints of the models: the database refuses related fields that do not match."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.db.models import CheckConstraint

from durable.models import Work
from exports.conf import export_settings
from exports.demo.models import Invoice
from exports.models import Export, Part, Slot, UsageReport
from exports.states import PartState, State
from notifications.models import Delivery, Notification
from tests.support.exports import export_in, part_in, ready_facts

pytestmark = pytest.mark.django_db
APPS = ("durable", "exports", "notifications", "demo")
NOW = datetime(2026, 7, 1, tzinfo=UTC)

INDEPENDENT = {
    "lease_until": "any open row may have a lease",
    "claimed_at": "the last claim, whatever its result",
    "published_at": "a hint may be sent at any time",
    "period_start": "open on that side",
    "period_end": "open on that side",
    "started_at": "the last planning, whatever its result",
    "reminded_at": "set only by the reminder",
    "rows": "counted at planning, kept afterwards",
    "pages": "only some formats have pages",
    "read_at": "set only when it is read",
    "Download.finished_at": "a download may never end",
    "Webhook.user": "empty for a webhook of the site",
    "failing_since": "from a failed request to the next accepted one",
    "followed_by": "a job may have one that follows, in any state",
    "ask_at": "set by a failure",
    "Photo.published_at": "set once its thumbnails are made",
    "WebhookAttempt.status": "empty if there was no answer",
}
"""Fields that may be NULL independently, with the reason. Every other nullable field needs a CHECK constraint."""


def our_models() -> list[type[models.Model]]:
    return [model for label in APPS for model in apps.get_app_config(label).get_models()]


def constrained(model: type[models.Model]) -> set[str]:
    """Return the names of the fields in the CHECK constraints of the model."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        for child in node.children:
            if isinstance(child, tuple):
                found.add(child[0].partition("__")[0])
            else:
                walk(child)

    for constraint in model._meta.constraints:
        if isinstance(constraint, CheckConstraint):
            walk(constraint.condition)
    return found


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model.__name__)
def test_every_nullable_field_has_a_constraint_or_a_reason(model: type[models.Model]) -> None:
    nullable = {field.name for field in model._meta.concrete_fields if field.null}
    independent = {name for name in nullable if name in INDEPENDENT or f"{model.__name__}.{name}" in INDEPENDENT}
    assert nullable - independent <= constrained(model)


@pytest.mark.parametrize(
    "model", [model for model in our_models() if issubclass(model, Work)], ids=lambda model: model.__name__
)
def test_open_work_has_a_partial_index(model: type[Work]) -> None:
    indexes = [index for index in model._meta.indexes if index.condition is not None]
    assert any("next_attempt_at" in str(index.condition) for index in indexes)


# --- check constraints ----------------------------------------------------------------------------------------------


def refused(row: models.Model, **facts: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        type(row)._default_manager.filter(pk=row.pk).update(**facts)


READY = ready_facts(NOW)


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        ("queued", {"state": "nowhere"}),
        ("queued", {"next_attempt_at": None}),
        ("queued", {"finished_at": NOW}),
        ("queued", {"artifact": "key"}),
        ("queued", {"error_code": "boom"}),
        ("rendering", {"next_attempt_at": NOW}),
        ("assembling", {"next_attempt_at": None}),
        ("assembling", {"state": "ready", "next_attempt_at": None, "finished_at": NOW}),
        *[
            ("ready", {fact: empty})
            for fact, empty in (("artifact", ""), ("sha256", ""), ("size", None), ("expires_at", None))
        ],
        ("ready", {"finished_at": None}),
        ("ready", {"state": "expired"}),
        ("ready", {"next_attempt_at": NOW}),
        ("failed", {"error_code": ""}),
        ("failed", {"finished_at": None}),
        ("cancelled", {"next_attempt_at": NOW}),
        ("expired", READY),
    ],
)
def test_an_inconsistent_export_is_refused(ada: User, state: str, facts: dict[str, Any]) -> None:
    refused(export_in(state, ada), **facts)


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        ("waiting", {"state": "nowhere", "next_attempt_at": None}),
        ("waiting", {"next_attempt_at": None}),
        ("waiting", {"artifact": "key"}),
        ("waiting", {"state": "failed", "next_attempt_at": None}),
        ("done", {"next_attempt_at": NOW}),
        ("done", {"sha256": ""}),
        ("done", {"size": None}),
        ("done", {"state": "joined"}),
        ("failed", {"error_code": ""}),
    ],
)
def test_an_inconsistent_part_is_refused(ada: User, state: str, facts: dict[str, Any]) -> None:
    refused(part_in(state, export_in("rendering", ada)), **facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"next_attempt_at": None},
        {"finished_at": NOW},
        {"state": "done", "finished_at": NOW},
        {"state": "failed", "next_attempt_at": None},
    ],
)
def test_an_inconsistent_slot_is_refused(facts: dict[str, Any]) -> None:
    refused(Slot.objects.create(schedule="x", slot=NOW), **facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"next_attempt_at": None},
        {"stage": "failed"},
        {"stage": "send"},
        {"stage": "sent", "next_attempt_at": None, "artifact": "x", "sha256": "x", "size": 1},
        {"sent_at": NOW},
    ],
)
def test_an_inconsistent_report_is_refused(facts: dict[str, Any]) -> None:
    refused(UsageReport.objects.create(week="2026-W27", start=NOW, end=NOW), **facts)


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "nowhere", "next_attempt_at": None},
        {"next_attempt_at": None},
        {"state": "sent", "next_attempt_at": None},
        {"sent_at": NOW},
        {"state": "failed", "next_attempt_at": None},
        {"state": "skipped", "next_attempt_at": None, "error_code": "x"},
        {"state": "sent", "sent_at": NOW, "next_attempt_at": None, "error_code": "x"},
    ],
)
def test_an_inconsistent_delivery_is_refused(ada: User, facts: dict[str, Any]) -> None:
    notification = Notification.objects.create(user=ada, kind="export_ready", dedupe_key="x")
    refused(Delivery.objects.create(notification=notification, channel="email"), **facts)


@pytest.mark.parametrize("facts", [{"paid": True}, {"paid_on": date(2026, 7, 1)}])
def test_an_inconsistent_invoice_is_refused(ada: User, facts: dict[str, Any]) -> None:
    plain = {"number": "1", "month": date(2026, 6, 1), "issued_at": NOW, "orders": 1, "total": 1, "currency": "EUR"}
    refused(Invoice.objects.create(owner=ada, **plain), **facts)


# --- unique constraints ---------------------------------------------------------------------------------------------


def _twice(make: Callable[[], object]) -> None:
    make()
    with pytest.raises(IntegrityError), transaction.atomic():
        make()


def test_unique_constraints(ada: User) -> None:
    export = export_in("queued", ada, fingerprint="same")
    with pytest.raises(IntegrityError), transaction.atomic():
        export_in("rendering", ada, fingerprint="same")
    export_in("failed", ada, fingerprint="same")
    _twice(lambda: part_in(PartState.WAITING, export))
    _twice(lambda: Slot.objects.create(schedule="x", slot=NOW))
    _twice(lambda: UsageReport.objects.create(week="2026-W27", start=NOW, end=NOW))
    _twice(lambda: Notification.objects.create(user=ada, kind="x", dedupe_key="same"))
    notification = Notification.objects.get()
    _twice(lambda: Delivery.objects.create(notification=notification, channel="email"))


# --- names, tasks and queries ---------------------------------------------------------------------------------------


def test_names_of_rows(ada: User) -> None:
    export = export_in("queued", ada, uuid=uuid.UUID(int=1))
    slot = Slot.objects.create(schedule="purge", slot=NOW)
    assert str(export) == "errands as csv (00000000-0000-0000-0000-000000000001)"
    assert str(part_in("waiting", export, 3)) == f"part 3 of export {export.pk}"
    assert str(slot) == "purge at 2026-07-01 00:00"


def test_each_row_names_the_task_of_its_next_step(ada: User) -> None:
    small = export_settings().small_rows
    assert export_in(State.QUEUED, ada).hint() == "exports.tasks.plan_export"
    for rows, size in ((None, ""), (small + 1, ""), (small, "small_")):
        export = export_in(State.ASSEMBLING, ada, rows=rows)
        assert export.hint() == f"exports.tasks.assemble_{size}export"
        assert Part(export=export).hint() == f"exports.tasks.render_{size}part"
    assert Slot().hint() == "exports.tasks.run_slot"
    assert UsageReport().hint() == "exports.tasks.advance_report"


def test_only_failed_and_cancelled_exports_can_be_retried(ada: User) -> None:
    assert {state for state in State if export_in(state, ada).can_retry} == {State.FAILED, State.CANCELLED}


def test_a_downloadable_export_is_ready_and_not_expired(ada: User) -> None:
    fresh, past = (
        export_in("ready", ada, expires_at=datetime(2999, 1, 1, tzinfo=UTC)),
        export_in("ready", ada, expires_at=NOW),
    )
    export_in("failed", ada)
    assert list(Export.objects.downloadable()) == [fresh]
    assert list(Export.objects.past_expiry()) == [past]
