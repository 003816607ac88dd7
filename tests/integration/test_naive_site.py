"""A site with USE_TZ=False in Berlin: CARRYALL_TEST_SITE=naive. Its date-times are local times without a zone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from durable import clock
from durable.clock import Now, as_stored, database_now
from exports.checks import check_time_zones
from exports.datasets import Column, ColumnType, Selection, datasets
from exports.intake.requests import expire_export
from exports.models import Export, Part, Slot, UsageReport
from exports.models.period import Period
from exports.states import State
from exports.upkeep import probes, purge, schedules, usage_report
from tests.support.errands import claim, errand
from tests.support.exports import committed, content_of, export_in, registered, run
from tests.support.specimens import Specimens, collect
from tests.work.models import Errand, Specimen

pytestmark = [pytest.mark.site("naive"), pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]

BERLIN = ZoneInfo("Europe/Berlin")
SECOND = timedelta(seconds=1)
BEFORE, AFTER = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
"""Both are 02:30 in Berlin."""
EXACT = connection.vendor == "postgresql"
"""Whether the database stores which of two equal local times a value is."""


class Moments(Specimens):
    date_field = "moment"
    columns = (
        Column("name", "Name"),
        Column("moment", "Moment", ColumnType.DATETIME),
        Column("words", "Words", source="moment"),
        Column("computed", "Computed", ColumnType.DATETIME, function=lambda row: row.moment),
    )


@pytest.fixture(autouse=True)
def _dataset() -> Iterator[None]:
    with registered(Moments):
        yield


def rows(**moments: datetime) -> None:
    """Create rows with these moments. PostgreSQL's are written as moments: a naive parameter has no `fold`."""
    for name, moment in moments.items():
        Specimen.objects.create(name=name, made_at=timezone.now(), moment=moment if EXACT else as_stored(moment))


def names(period: Period) -> set[str]:
    return {row.name for row in datasets.get("specimens").selected(Selection(None, period))}


# --- our own tables ---------------------------------------------------------------------------------------------------


def test_moments_of_our_own_rows_are_aware_and_right(ada: User) -> None:
    export = run(ada, "csv", dataset="specimens")
    now = datetime.now(UTC)
    for moment in (export.requested_at, export.started_at, export.finished_at):
        assert moment is not None
        assert (moment.tzinfo, abs(moment - now) < 60 * SECOND) == (BERLIN, True)
    assert export.expires_at is not None
    assert abs(export.expires_at - now - timedelta(days=7)) < 60 * SECOND


@pytest.mark.parametrize("moment", [BEFORE, AFTER, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)])
def test_a_moment_is_read_as_it_was_written(ada: User, moment: datetime) -> None:
    export = export_in("queued", ada, reminded_at=moment)
    assert Export.objects.filter(reminded_at=moment).get() == export
    assert not Export.objects.filter(reminded_at__lt=moment).exists()
    read = Export.objects.values_list("reminded_at", flat=True).get()
    assert read is not None
    assert read.astimezone(UTC) == moment
    earliest = Export.objects.aggregate(at=models.Min("reminded_at"))["at"]
    assert earliest.astimezone(UTC) == moment


def test_the_databases_clock_compares_with_our_own_rows() -> None:
    now = database_now(Errand)
    assert abs(now - datetime.now(UTC)) < 5 * SECOND
    row = errand(claimed_at=now)
    assert Errand.objects.filter(claimed_at__lt=Now() + 9 * SECOND, claimed_at__gt=Now() - 9 * SECOND).get() == row
    shown = Errand.objects.aggregate(now=models.Min(Now()))["now"]
    assert abs(shown - now) < 5 * SECOND


def test_leases_and_waits_end_when_they_should() -> None:
    lease = claim(errand())
    assert not Errand.objects.due().exists()
    Errand.objects.update(lease_until=Now() - SECOND)
    assert Errand.objects.due().exists()
    lease = claim(lease.work)
    lease.retry(60)
    assert not Errand.objects.due().exists()
    Errand.objects.update(next_attempt_at=Now() - SECOND)
    assert Errand.objects.due().exists()


def test_files_expire_when_they_should(ada: User) -> None:
    export = run(ada, "csv", dataset="specimens")
    assert (purge.expire_due(), Export.objects.downloadable().count()) == (0, 1)
    Export.objects.update(expires_at=Now() - SECOND)
    assert (purge.expire_due(), Export.objects.downloadable().count()) == (1, 0)
    again = run(ada, "csv", dataset="specimens")
    with committed():
        expire_export(again)
    export.refresh_from_db()
    assert (export.state, again.state) == (State.EXPIRED, State.EXPIRED)


def test_young_files_are_no_orphans(ada: User) -> None:
    run(ada, "csv", dataset="specimens")
    assert purge.purge()["orphans"] == 0


# --- rows of the site -------------------------------------------------------------------------------------------------


def test_local_times_are_aware_in_files(ada: User) -> None:
    rows(winter=datetime(2026, 1, 15, 12, tzinfo=UTC), summer=datetime(2026, 7, 15, 12, tzinfo=UTC))
    lines = content_of(run(ada, "jsonl", dataset="specimens")).decode().splitlines()
    expected = {"winter": "2026-01-15T13:00:00+01:00", "summer": "2026-07-15T14:00:00+02:00"}
    for line in map(json.loads, lines):
        found = {datetime.fromisoformat(value) for key, value in line.items() if key.lower() != "name"}
        assert found == {datetime.fromisoformat(expected[line["name"]])}, line
    table = list(csv.reader(content_of(run(ada, "csv", dataset="specimens")).decode().splitlines()))
    assert {row[0]: row[2] for row in table[1:]} == expected


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "xlsx", "pdf", "parquet", "zip"])
def test_every_format_writes_local_times(ada: User, kind: str) -> None:
    collect({"no moment": {}})
    rows(before=BEFORE, after=AFTER)
    inside = ["csv", "xlsx"] if kind == "zip" else []
    export = run(ada, kind, dataset="specimens", inside=inside)
    assert (export.state, export.rows) == (State.READY, 3 * (len(inside) or 1)), export.error_detail


def test_a_period_has_the_rows_of_its_days(ada: User) -> None:
    march = {"period": "custom", "date_from": date(2026, 3, 1), "date_to": date(2026, 3, 31)}
    midnight = datetime(2026, 3, 1, tzinfo=BERLIN)
    rows(first=midnight, last=datetime(2026, 3, 31, 23, 59, 59, tzinfo=BERLIN))
    rows(before=midnight - SECOND, after=datetime(2026, 4, 1, tzinfo=BERLIN))
    export = run(ada, "csv", dataset="specimens", **march)
    written = list(csv.reader(content_of(export).decode().splitlines()))[1:]
    assert [row[0] for row in written] == ["first", "last"]


def test_periods_in_the_night_when_the_clocks_change() -> None:
    rows(early=BEFORE - timedelta(hours=1), before=BEFORE, after=AFTER, late=AFTER + timedelta(hours=1))
    every = {"early", "before", "after", "late"}
    assert names(Period(end=BEFORE)) == {"early"}
    assert names(Period(end=AFTER)) == ({"early", "before"} if EXACT else {"early", "before", "after"})
    assert names(Period(start=AFTER)) == ({"after", "late"} if EXACT else {"late"})
    assert names(Period(start=BEFORE)) == every - {"early"}
    for at in (BEFORE, AFTER, AFTER + timedelta(minutes=30)):
        assert names(Period(start=at)) | names(Period(end=at)) == every
        assert not names(Period(start=at)) & names(Period(end=at))


def test_rows_created_after_the_request_are_left_out(ada: User) -> None:
    now = clock.now()
    rows(just_now=now - SECOND, later=now + 60 * SECOND)
    collect({"no moment": {}})
    assert names(Period(asked_at=now)) == {"just_now", "no moment"}
    rows(before=BEFORE, after=AFTER)
    assert {"before"} <= names(Period(asked_at=AFTER))
    assert not {"before", "after"} & names(Period(asked_at=BEFORE))


def test_created_before_gets_what_the_fields_of_the_site_hold() -> None:
    class Booked(Moments):
        def created_before(self, rows: Any, moment: datetime) -> Any:
            return rows.filter(made_at__lte=moment)

    collect({"made in time": {}})
    Specimen.objects.create(name="too late", made_at=timezone.now() + 60 * SECOND)
    with registered(Booked):
        assert names(Period(asked_at=clock.now())) == {"made in time"}


# --- pages, schedules, doctor -----------------------------------------------------------------------------------------


def test_pages_show_local_times(ada: User, client: Client) -> None:
    export = export_in("ready", ada, dataset="specimens", expires_at=datetime(2027, 1, 15, 12, tzinfo=UTC))
    client.force_login(ada)
    assert "15 January 2027, 13:00" in client.get(export.get_absolute_url()).content.decode()
    assert client.get(reverse("exports:list")).status_code == 200
    shown = client.get(f"/api/exports/{export.uuid}/").json()
    assert datetime.fromisoformat(shown["expires_at"]) == export.expires_at


def test_the_admin_opens(ada: User, admin_client: Client) -> None:
    export = run(ada, "csv", dataset="specimens")
    for model in (Export, Part, Slot):
        address = reverse(f"admin:exports_{model._meta.model_name}_changelist")
        assert admin_client.get(address).status_code == 200
        assert admin_client.get(address, {"slow": "1"}).status_code == 200
    today = timezone.now().date()
    filters = {"requested_at__gte": f"{today} 00:00:00", "requested_at__lt": f"{today + timedelta(days=1)} 00:00:00"}
    found = admin_client.get(reverse("admin:exports_export_changelist"), filters).content.decode()
    assert str(export.uuid) in found


def test_schedules_run_by_the_clock_of_the_database() -> None:
    Slot.objects.all().delete()
    task = "exports.tasks.remind_of_expiring_exports"  # each minute
    PeriodicTask.objects.exclude(task=task).update(enabled=False)
    PeriodicTask.objects.filter(task=task).update(start_time=timezone.now() + 60 * SECOND)
    assert schedules.tick(task) == 0
    PeriodicTask.objects.filter(task=task).update(start_time=timezone.now() - 60 * SECOND, expires=None)
    assert [schedules.tick(task), schedules.tick(task)] == [1, 0]
    slot = Slot.objects.get()
    assert timedelta() <= database_now(Slot) - slot.slot < 61 * SECOND
    assert schedules.run_slot(slot.pk) == {"reminded": 0}
    PeriodicTask.objects.filter(task=task).update(expires=timezone.now() - SECOND)
    assert schedules.tick(task) == 0


def test_the_doctor_reads_the_times_that_beat_writes() -> None:
    """Beat writes naive UTC, and Django the local time of the last change."""
    old = timedelta(days=1)
    now = datetime.now(UTC).replace(tzinfo=None)
    PeriodicTask.objects.update(date_changed=timezone.now() - old, last_run_at=now)
    assert schedules.missed_by_beat() is None
    PeriodicTask.objects.update(last_run_at=now - old)
    assert schedules.missed_by_beat() is not None
    assert probes.PROBES["clocks"]() == probes.PROBES["database"]() == ""


def test_last_weeks_report_begins_on_a_local_monday() -> None:
    usage_report.open_last_week()
    report = UsageReport.objects.get()
    assert f"{report.start.astimezone(BERLIN):%a %H:%M}" == f"{report.end.astimezone(BERLIN):%a %H:%M}" == "Mon 00:00"


def test_beat_must_write_naive_times(settings: Any) -> None:
    assert check_time_zones() == []
    settings.DJANGO_CELERY_BEAT_TZ_AWARE = True
    assert [fault.id for fault in check_time_zones()] == ["exports.E019"]
