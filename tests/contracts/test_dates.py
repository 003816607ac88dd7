"""Rows of a period, for date-time fields, date fields, NULL dates and no dates, in all interfaces."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import F, QuerySet
from django.db.models.functions import TruncDate
from django.test import Client
from pytest_django import Settings

from durable import clock
from durable.clock import as_stored
from exports.datasets import Column, Dataset, Selection
from exports.errors import BadPeriod
from exports.forecast.estimates import estimate_request
from exports.intake.choices import ExportRequest
from exports.intake.periods import resolve
from exports.intake.requests import request_export
from exports.models import Export
from tests.support.exports import content_of, registered, run
from tests.support.specimens import Specimens
from tests.work.models import Specimen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]

BERLIN = ZoneInfo("Europe/Berlin")
NAME = Column("name", "Name")
MARCH = {"period": "custom", "date_from": date(2026, 3, 1), "date_to": date(2026, 3, 31)}


@pytest.fixture(autouse=True)
def _berlin(settings: Settings) -> None:
    """The site uses UTC, its users Berlin time."""
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": "tests.support.specimens.home_of"}


def dated_by(date_field: str | None, **more: Any) -> Any:
    return registered(type("Dated", (Specimens,), {"date_field": date_field, "columns": (NAME,), **more}))


class Days(Specimens):
    date_field = "day"


def specimen(name: str, **values: Any) -> None:
    values = {"made_at": clock.now(), **values}
    stored = {name: as_stored(value) if isinstance(value, datetime) else value for name, value in values.items()}
    Specimen.objects.create(name=name, **stored)


def names(owner: User, **period: Any) -> list[str]:
    """Return the names in the exported file. Check that the estimate has the same number of rows."""
    export = run(owner, "csv", dataset="specimens", **period)
    rows = list(csv.reader(content_of(export).decode().splitlines()))[1:]
    estimate = estimate_request(owner, ExportRequest(dataset=["specimens"], format="csv", **period))
    assert estimate.rows is not None
    assert estimate.rows.number == len(rows) == export.rows
    return [name for (name,) in rows]


@pytest.fixture
def moments() -> None:
    now = clock.now()
    specimen("never")
    specimen("just now", moment=now - timedelta(seconds=1))
    specimen("long ago", moment=datetime(1999, 1, 1, tzinfo=UTC))
    specimen("to come", moment=now + timedelta(days=400))
    specimen("March begins", moment=datetime(2026, 3, 1, tzinfo=BERLIN))
    specimen("March is over", moment=datetime(2026, 4, 1, tzinfo=BERLIN))
    specimen("before March", moment=datetime(2026, 2, 28, 23, 59, 59, tzinfo=BERLIN))
    specimen("last of March", moment=datetime(2026, 3, 31, 23, 59, 59, 999999, tzinfo=BERLIN))


@pytest.mark.usefixtures("moments")
def test_rows_without_a_date_are_only_in_everything(ada: User) -> None:
    with dated_by("moment"):
        everything = names(ada, period="all")
        assert set(everything) == set(Specimen.objects.values_list("name", flat=True)) - {"to come"}
        assert names(ada, **MARCH) == ["March begins", "last of March"]
        for period in ("ytd", "last-12-months", "last-month"):
            assert "never" not in names(ada, period=period)
        assert "just now" in names(ada, period="last-12-months")


@pytest.mark.usefixtures("moments")
def test_created_before_may_keep_all_rows(ada: User) -> None:
    def all_rows(self: Dataset, rows: QuerySet[Any], moment: datetime) -> QuerySet[Any]:
        return rows

    with dated_by("moment", created_before=all_rows):
        assert len(names(ada, period="all")) == Specimen.objects.count()


@pytest.fixture
def days() -> None:
    today = clock.now().astimezone(BERLIN).date()
    for day in ("2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01"):
        specimen(day, day=date.fromisoformat(day))
    specimen("29 February", day=date(2024, 2, 29))
    specimen("today", day=today)
    specimen("tomorrow", day=today + timedelta(days=1))
    specimen("never")


@pytest.mark.usefixtures("days")
def test_date_fields_are_compared_by_day(ada: User) -> None:
    with dated_by("day"):
        assert set(names(ada, period="all")) == set(Specimen.objects.values_list("name", flat=True))
        assert names(ada, **MARCH) == ["2026-03-01", "2026-03-31"]
        assert names(ada, period="custom", date_from=date(2024, 2, 29), date_to=date(2024, 2, 29)) == ["29 February"]
        for period in ("ytd", "last-12-months"):
            found = names(ada, period=period)
            assert "today" in found
            assert not {"tomorrow", "never"} & set(found)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "America/Havana", "UTC"])
def test_a_day_is_the_same_day_in_every_zone(ada: User, zone: str) -> None:
    for number in range(1, 32):
        specimen(str(number), day=date(2026, 3, number))
    dataset = Days()
    for number in (1, 8, 29, 31):
        day = date(2026, 3, number)
        period = resolve("custom", day, day, zone=ZoneInfo(zone), now=clock.now())
        assert [row.name for row in dataset.selected(Selection(ada, period))] == [str(number)]


@pytest.mark.usefixtures("moments")
def test_an_annotation_may_be_the_date_field(ada: User) -> None:
    """A day computed by the database, and an alias of a field."""

    def days_in_berlin(self: Dataset, user: User) -> QuerySet[Any]:
        return Specimen.objects.annotate(on=TruncDate("moment", tzinfo=BERLIN), at=F("moment"))

    with dated_by("on", queryset=days_in_berlin):
        assert names(ada, **MARCH) == ["March begins", "last of March"]
        assert len(names(ada, period="all")) == Specimen.objects.count()
    with dated_by("at", queryset=days_in_berlin):
        assert names(ada, **MARCH) == ["March begins", "last of March"]
        assert len(names(ada, period="all")) == Specimen.objects.count() - 1, "one is in the future"


# --- datasets without dates -----------------------------------------------------------------------------------------

REFUSAL = "“Specimens” has no dates to choose a period by. Choose everything."


@pytest.fixture
def undated() -> Iterator[None]:
    for name in ("a", "b"):
        specimen(name)
    with dated_by(None):
        yield


@pytest.mark.usefixtures("undated")
def test_rows_without_dates_are_exported_as_a_whole(ada: User) -> None:
    assert names(ada, period="all") == names(ada) == ["a", "b"]
    assert Export.objects.values_list("period_choice", flat=True).first() == "all"


@pytest.mark.usefixtures("undated")
@pytest.mark.parametrize("period", [{"period": "ytd"}, {"period": "last-month"}, MARCH])
def test_a_period_is_refused_for_a_dataset_without_dates(ada: User, period: dict[str, Any]) -> None:
    with pytest.raises(BadPeriod) as refused:
        request_export(ada, ExportRequest(dataset="specimens", format="csv", **period))
    assert refused.value.message == REFUSAL
    with pytest.raises(BadPeriod, match="no dates"):
        estimate_request(ada, ExportRequest(dataset=["specimens"], format="csv", **period))
    with pytest.raises(BadPeriod, match="no dates"):
        request_export(ada, ExportRequest(dataset=["orders", "specimens"], format="zip", **period))
    assert not Export.objects.exists()


@pytest.mark.usefixtures("undated")
def test_a_bundle_with_an_undated_dataset_exports_everything(ada: User) -> None:
    requested = request_export(ada, ExportRequest(dataset=["orders", "specimens"], format="zip"))
    assert requested.export.period_choice == "all"


@pytest.mark.usefixtures("undated")
def test_page_api_and_command_refuse_with_the_same_message(ada: User, client: Client) -> None:
    client.force_login(ada)
    sent = {"dataset": "specimens", "format": "csv", "period": "ytd"}
    page = client.post("/exports/", sent)
    assert page.status_code == 422
    assert REFUSAL in page.content.decode()
    assert REFUSAL in client.get("/exports/estimate/", sent).content.decode()
    answer = client.post("/api/exports/", sent, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, REFUSAL)
    with pytest.raises(CommandError, match="no dates"):
        call_command("export", user=ada.username, dataset=["specimens"], format="csv", range="ytd")
    assert not Export.objects.exists()


@pytest.mark.usefixtures("undated")
def test_page_and_api_accept_a_request_without_a_period(ada: User, client: Client) -> None:
    client.force_login(ada)
    sent = {"dataset": "specimens", "format": "csv"}
    assert client.post("/exports/", sent).status_code == 303
    created = client.post("/api/exports/", {**sent, "format": "json"}, content_type="application/json").json()
    assert created["period"] == "all"
    assert set(Export.objects.values_list("period_choice", flat=True)) == {"all"}
    assert "data-undated" in client.get("/exports/").content.decode()
