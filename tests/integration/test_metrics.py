"""Tests of /metrics: who may read it, the values for known rows, its form, and what it costs the database."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings

from durable.clock import Now
from durable.databases import connection_of
from durable.workers import Heart, Worker
from exports.models import Export, Part, Slot, Volume
from exports.states import PartState, State
from exports.upkeep import metrics, schedules
from notifications.models import Delivery, Notification
from tests.support import monitoring
from tests.support.exports import export_in, part_in
from tests.support.plans import planned

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-the-tests"
PLAN = "exports.tasks.plan_export"
PURGE = "exports.tasks.purge_expired_exports"


@pytest.fixture(autouse=True)
def _with_token(settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"METRICS_TOKEN": TOKEN}


def scraped(client: Client) -> str:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return answer.text


def value(text: str, name: str, **labels: str) -> float:
    """Return the value of the only sample with this name and, among others, these labels."""
    [found] = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"carryall_{name}" and labels.items() <= sample.labels.items()
    ]
    return found


def deliver(owner: User, channel: str, state: str, **fields: object) -> Delivery:
    notification = Notification.objects.create(user=owner, kind="export_ready", dedupe_key=uuid4().hex)
    closed = {} if state == "pending" else {"next_attempt_at": None}
    return Delivery.objects.create(
        notification=notification,
        channel=channel,
        state=state,
        **{**closed, **fields},
    )


# --- access ---------------------------------------------------------------------------------------------------------


def test_there_is_no_page_without_a_token(client: Client, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"METRICS_TOKEN": ""}
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_there_is_no_page_without_the_library(client: Client) -> None:
    with patch("exports.web.metrics.find_spec", return_value=None):
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404


@pytest.mark.parametrize("sent", ["", TOKEN, "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", "Bearer t\xf6ken"])
def test_a_request_needs_the_token(client: Client, sent: str) -> None:
    answer = client.get("/metrics", headers={"Authorization": sent} if sent else {})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert "carryall_" not in answer.text


def test_a_signed_in_user_needs_the_token(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/metrics").status_code == 401


def test_a_database_that_is_away_is_a_sentence(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with patch("exports.upkeep.metrics.database_now", side_effect=OperationalError("no route to db.internal")):
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.text) == (503, "The database does not answer.")
    assert "db.internal" in caplog.text


# --- values ---------------------------------------------------------------------------------------------------------


def test_waiting_running_and_later_rows(client: Client, ada: User) -> None:
    now = timezone.now()
    export_in(State.QUEUED, ada, next_attempt_at=now - timedelta(seconds=100))
    export_in(State.QUEUED, ada, next_attempt_at=now - timedelta(seconds=40))
    export_in(State.QUEUED, ada, next_attempt_at=now + timedelta(seconds=60), attempt=1)
    export_in(State.QUEUED, ada, attempt=1, lease_until=now + timedelta(seconds=30), leased_by="w")
    export_in(State.QUEUED, ada, attempt=2, lease_until=now - timedelta(seconds=30), leased_by="w")
    text = scraped(client)
    assert value(text, "waiting", task=PLAN, queue="high") == 3
    assert 100 <= value(text, "oldest_waiting_seconds", task=PLAN) < 110
    assert value(text, "running", task=PLAN) == 1
    assert value(text, "later", task=PLAN) == 1
    assert value(text, "retrying", task=PLAN) == 2
    assert value(text, "leases_lost", task=PLAN) == 1
    assert value(text, "waiting", task="exports.tasks.assemble_export", queue="bulk") == 0


def test_parts_and_the_windows(client: Client, ada: User) -> None:
    now = timezone.now()
    big, small = export_in(State.RENDERING, ada, rows=50_000), export_in(State.RENDERING, ada, rows=10)
    part_in(PartState.WAITING, big, 0, published_at=now, lease_until=now + timedelta(seconds=30), attempt=1)
    part_in(PartState.WAITING, big, 1)
    part_in(PartState.WAITING, small, 0, published_at=now)
    export_in(State.QUEUED, ada, published_at=now)
    text = scraped(client)
    assert value(text, "running", task="exports.tasks.render_part", queue="bulk") == 1
    assert value(text, "waiting", task="exports.tasks.render_part") == 1
    assert value(text, "waiting", task="exports.tasks.render_small_part", queue="high") == 1
    used = [value(text, "window_used", window=name) for name in ("plans", "small parts", "parts")]
    assert used == [1, 1, 1]
    assert value(text, "window_size", window="parts") == 3


def test_the_workers_that_are_alive(client: Client, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": None}
    for name, processes in (("one", 2), ("two", 4), ("lost", 8)):
        Heart(name, ["bulk"], "1.0", partial(int, processes)).beat()
    Worker.objects.filter(name="lost").update(seen_at=Now() - timedelta(minutes=5))
    text = scraped(client)
    assert [value(text, name, queue="bulk") for name in ("workers", "worker_processes")] == [2, 6]
    assert value(text, "window_size", window="parts") == 7


def test_each_task_that_a_row_names_is_counted(client: Client, ada: User) -> None:
    quick, long = export_in(State.ASSEMBLING, ada, rows=10), export_in(State.ASSEMBLING, ada, rows=50_000)
    uploads = export_in(State.ASSEMBLING, ada, rows=10, has_uploads=True)
    unknown = export_in(State.ASSEMBLING, ada, rows=None)
    text = scraped(client)
    for export in (quick, long, uploads, unknown):
        assert value(text, "waiting", task=export.hint()) >= 1
    assert value(text, "waiting", task=quick.hint()) == 1
    assert value(text, "waiting", task=long.hint()) == 3


def test_exports_that_ended(client: Client, ada: User) -> None:
    now = timezone.now()
    for seconds, state in [(10, State.READY), (20, State.READY), (300, State.EXPIRED)]:
        asked = now - timedelta(seconds=seconds)
        facts = {"rows": 100, "size": 1000, "requested_at": asked, "finished_at": now}
        export_in(state, ada, format="csv", **facts)
    bundle = export_in(State.READY, ada, format="zip", size=10, requested_at=now - timedelta(seconds=5), inside=["csv"])
    Volume.objects.create(export=bundle, index=2, filename="b", size=7, sha256="ab" * 32)
    export_in(State.FAILED, ada, error_code="disk_full")
    export_in(State.FAILED, ada, error_code="disk_full", finished_at=now - timedelta(hours=2))
    export_in(State.CANCELLED, ada)
    text = scraped(client)
    assert value(text, "exports_ended_last_hour", outcome="ready", format="csv") == 3
    assert value(text, "exports_ended_last_hour", outcome="failed") == 1
    assert value(text, "exports_ended_last_hour", outcome="cancelled") == 1
    assert value(text, "exports_parked_last_hour", error="disk_full") == 1
    assert value(text, "rows_last_hour", format="csv") == 300
    assert value(text, "bytes_last_hour", format="csv") == 3000
    assert value(text, "bytes_last_hour", format="zip") == 17
    took = [value(text, "export_duration_seconds_last_hour", percentile=name) for name in ("50", "95", "100")]
    assert took == pytest.approx([10, 300, 300], abs=1)


def test_speed_and_attempts_of_parts(client: Client, ada: User) -> None:
    export = export_in(State.READY, ada)
    part_in(PartState.JOINED, export, 0, rows_done=3000, seconds=1.0, attempt=1)
    part_in(PartState.JOINED, export, 1, rows_done=3000, seconds=2.0, attempt=3)
    text = scraped(client)
    assert value(text, "rows_per_second_last_hour", format="csv") == 2000
    assert value(text, "parts_last_hour", format="csv") == 2
    assert value(text, "part_attempts_last_hour", format="csv") == 4


def test_deliveries_by_channel(client: Client, ada: User) -> None:
    now = timezone.now()
    deliver(ada, "email", "pending")
    for moment in (now, now - timedelta(hours=2)):
        deliver(ada, "email", "sent", sent_at=moment)
        deliver(ada, "webhook", "failed", claimed_at=moment, error_code="refused", error_message="No.")
    text = scraped(client)
    assert value(text, "deliveries_pending", channel="email") == 1
    assert value(text, "deliveries_sent_last_hour", channel="email") == 1
    assert value(text, "deliveries_parked_last_hour", channel="webhook") == 1
    assert value(text, "deliveries_parked_last_hour", channel="email") == 0


@pytest.mark.site("usual", "split")  # with USE_TZ=False, Beat writes other times than this test does
def test_schedules(client: Client) -> None:
    PeriodicTask.objects.exclude(task=schedules.SWEEP).update(enabled=False)
    old = timezone.now() - timedelta(minutes=10)
    PeriodicTask.objects.update(last_run_at=old, date_changed=old)
    Slot.objects.filter(schedule=PURGE).delete()
    failed = {"state": Slot.State.FAILED, "next_attempt_at": None, "finished_at": old, "schedule": PURGE}
    Slot.objects.create(slot=old, **failed)
    text = scraped(client)
    assert value(text, "schedule_failed", schedule=PURGE) == 1
    assert value(text, "schedule_failed", schedule="exports.tasks.clean_up_results") == 0
    assert 30 <= value(text, "beat_lag_seconds") < 600
    Slot.objects.create(slot=timezone.now(), **failed | {"state": Slot.State.DONE})
    PeriodicTask.objects.update(last_run_at=timezone.now())
    text = scraped(client)
    assert value(text, "schedule_failed", schedule=PURGE) == 0
    assert value(text, "beat_lag_seconds") == 0


# --- form and cost --------------------------------------------------------------------------------------------------


def test_promtool_accepts_the_page(client: Client, ada: User) -> None:
    export_in(State.READY, ada)
    monitoring.promtool("check", "metrics", text=scraped(client))


def test_each_metric_has_its_help_and_is_a_gauge(client: Client) -> None:
    families = {family.name: family for family in text_string_to_metric_families(scraped(client))}
    assert families.keys() == {metric.name for metric in metrics.METRICS}
    for metric in metrics.METRICS:
        assert (families[metric.name].documentation, families[metric.name].type) == (metric.text, "gauge")


def test_no_label_tells_of_a_person(client: Client, ada: User) -> None:
    export = export_in(State.FAILED, ada, error_message="ada@example.com was refused", error_detail="ada")
    deliver(ada, "email", "failed", error_code="refused", error_message="ada@example.com", claimed_at=timezone.now())
    text = scraped(client)
    for private in ("ada", str(export.uuid), str(export.fingerprint), "example.com"):
        assert private not in text.lower()


def test_the_number_of_queries_does_not_depend_on_the_rows(
    client: Client, ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with planned() as plans:
        scraped(client)
    for _ in range(5):
        for state in State:
            export = export_in(state, ada, published_at=timezone.now())
            part_in(PartState.WAITING, export)
        deliver(ada, "email", "pending")
    with planned() as more:
        scraped(client)
    assert len(more) == len(plans) < 50


def test_routine_scrapes_are_not_logged() -> None:
    from deploy.gunicorn_conf import NotRoutine

    record = logging.LogRecord("gunicorn.access", logging.INFO, "", 0, "", None, None)
    record.args = {"U": "/metrics", "s": "200"}
    assert not NotRoutine().filter(record)


@pytest.mark.slow
def test_the_history_is_not_read(client: Client, ada: User) -> None:
    """With thousands of old rows and a few new ones, every query goes by an index, and none reads many pages."""
    old = timezone.now() - timedelta(days=30)
    ready = {"state": State.READY, "next_attempt_at": None, "finished_at": old, "expires_at": old, "sha256": "ab" * 32}
    chosen = {"owner": ada, "dataset": "errands", "format": "csv", "period_choice": "all", "size": 1, "rows": 5}
    exports = Export.objects.bulk_create(
        [Export(artifact=f"{n}", fingerprint=f"{n}", **chosen, **ready) for n in range(20_000)], batch_size=500
    )
    closed = {"owner": ada, "next_attempt_at": None, "state": PartState.JOINED, "index": 0}
    Part.objects.bulk_create([Part(export=export, **closed) for export in exports], batch_size=1000)
    volume = {"index": 2, "filename": "b", "size": 1, "sha256": "ab" * 32}
    Volume.objects.bulk_create([Volume(export=export, **volume) for export in exports], batch_size=1000)
    told = Notification.objects.bulk_create(
        [Notification(user=ada, kind="export_ready", dedupe_key=f"{n}") for n in range(20_000)], batch_size=1000
    )
    ended = {"state": "sent", "channel": "email", "sent_at": old, "claimed_at": old, "next_attempt_at": None}
    Delivery.objects.bulk_create([Delivery(notification=each, **ended) for each in told], batch_size=1000)
    done = {"schedule": PURGE, "state": "done", "next_attempt_at": None, "finished_at": old}
    Slot.objects.bulk_create([Slot(slot=old - timedelta(minutes=n), **done) for n in range(20_000)], batch_size=1000)
    export = export_in(State.READY, ada)
    part_in(PartState.JOINED, export)
    big = export_in(State.RENDERING, ada, rows=50_000)
    part_in(PartState.WAITING, big, published_at=timezone.now())
    deliver(ada, "email", "pending")
    with connection_of(Export).cursor() as cursor:
        cursor.execute("ANALYZE")
    with planned() as plans:
        scraped(client)
    history = {model._meta.db_table for model in (Export, Part, Volume, Delivery, Notification, Slot)}
    assert {plan.sql: plan.scanned for plan in plans if plan.scanned & history} == {}
    assert max(plan.pages for plan in plans) < 1_000  # indexes also have the dead rows of all earlier tests
