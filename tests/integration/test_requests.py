"""Tests of requesting, cancelling, retrying and expiring exports."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, OperationalError
from pytest_django import Settings

from durable import clock
from exports.errors import (
    BadRequest,
    DatasetFailed,
    ExportError,
    NoPermission,
    NotRecorded,
    TooMany,
    UnknownDataset,
    WrongState,
)
from exports.forecast.estimates import estimate_request
from exports.intake import requests
from exports.intake.choices import ExportRequest
from exports.intake.requests import cancel_export, expire_export, request_export, retry_export
from exports.models import Export, Part
from exports.states import OPEN, PartState, State
from tests.support import hints
from tests.support.exports import (
    Errands,
    ask,
    committed,
    errands,
    export_in,
    files,
    part_in,
    registered,
    run,
    step,
    sweep_now,
    work,
)
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db
YEAR_END = (date(2025, 12, 31), date(2025, 12, 31))


@pytest.fixture(autouse=True)
def _errands() -> Iterator[None]:
    with registered(Errands):
        yield


def tokyo(user: AbstractBaseUser) -> str:
    return "Asia/Tokyo"


def nothing_recorded() -> bool:
    return not Export.objects.exists() and hints.sent == []


# --- accepted requests ----------------------------------------------------------------------------------------------


def test_a_request_creates_a_row_and_sends_a_hint(ada: User) -> None:
    export = ask(ada)
    assert (export.state, export.owner, export.dataset, export.format, export.attempt) == (
        "queued",
        ada,
        "errands",
        "csv",
        0,
    )
    assert hints.sent == [("exports.tasks.plan_export", (export.pk,))]
    assert sweep_now() == {}


def test_without_a_broker_the_sweep_sends_the_hint_later(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": "tests.support.hints.refuse"}
    export = ask(ada)
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": "tests.support.hints.send"}
    assert sweep_now() == {"plans published": 1}
    assert hints.pks_of("exports.tasks.plan_export") == [export.pk]


def test_the_period_is_resolved_in_the_owners_time_zone(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": f"{__name__}.tokyo"}
    export = ask(ada, period="custom", date_from=YEAR_END[0], date_to=YEAR_END[1])
    assert (export.time_zone, export.period_choice) == ("Asia/Tokyo", "custom")
    assert export.period_start is not None
    assert export.period_end is not None
    assert export.period_start == datetime(2025, 12, 30, 15, tzinfo=UTC)
    assert export.period_end - export.period_start == timedelta(days=1)


def test_a_period_until_now_ends_at_the_request(ada: User) -> None:
    export = ask(ada, period="ytd")
    assert export.period_end is not None
    assert timedelta() < clock.now() - export.period_end < timedelta(seconds=30)


def test_the_attempt_limit_comes_from_the_settings(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_ATTEMPTS": 2}
    export = ask(ada)
    assert export.attempt_limit == 2
    lease = Export.objects.claim(export.pk)
    assert lease is not None
    assert (lease.work.failures, lease.last_attempt) == (1, False)


# --- repeated requests ----------------------------------------------------------------------------------------------


def test_a_repeated_request_in_flight_is_recognised(ada: User) -> None:
    export = ask(ada)
    hints.sent.clear()
    again = request_export(ada, ExportRequest(dataset="errands", format="csv", period="all"))
    assert (again.export, again.existing) == (export, True)
    assert (Export.objects.count(), hints.sent) == (1, [])


@pytest.mark.parametrize("other", [{"format": "jsonl"}, {"period": "ytd"}, {"fields": ["id"]}, {"dataset": "other"}])
def test_another_choice_is_another_request(ada: User, other: dict[str, Any]) -> None:
    class Other(Errands):
        key = "other"

    with registered(Other):
        assert ask(ada) != ask(ada, **other)


def test_another_owners_request_is_another_request(ada: User, bob: User) -> None:
    assert ask(ada) != ask(bob)


@pytest.mark.parametrize("state", [state for state in State if state not in OPEN])
def test_a_repeated_request_after_the_end_is_a_new_export(ada: User, state: State) -> None:
    first = ask(ada)
    Export.objects.all().delete()
    ended = export_in(state, ada, fingerprint=first.fingerprint)
    again = ask(ada)
    assert (again.fingerprint, again.pk != ended.pk) == (ended.fingerprint, True)


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_create_one_export(ada: User) -> None:
    results = at_once(*[lambda: request_export(ada, ExportRequest(dataset="errands", format="csv", period="all"))] * 4)
    assert len({request.export.pk for request in results}) == Export.objects.count() == 1
    assert [request.existing for request in results].count(False) == 1


def test_a_concurrent_duplicate_is_recognised_by_the_constraint(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unique constraint holds even without the lock on the owner."""
    first = ask(ada)
    record = requests._record_or_find
    calls: list[int] = []

    def late(export: Export) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError("export_once_in_flight")
        return record(export)

    monkeypatch.setattr(requests, "_record_or_find", late)
    assert ask(ada) == first


# --- limits ---------------------------------------------------------------------------------------------------------


def test_the_number_of_open_exports_is_limited(ada: User, bob: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 2}
    first = [export_in(state, ada) for state in ("queued", "rendering", "ready", "failed")][0]
    with pytest.raises(TooMany, match="You have 2 exports under way"):
        ask(ada)
    ask(bob)
    cancel_export(first)
    ask(ada)


def test_a_repeated_request_does_not_count(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 1, "MAX_PER_HOUR": 1}
    assert ask(ada) == ask(ada)


@pytest.mark.django_db(transaction=True)
def test_the_limit_holds_for_concurrent_requests(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 2}

    def click(fields: list[str]) -> int:
        try:
            request_export(ada, ExportRequest(dataset="errands", format="csv", period="all", fields=fields))
        except TooMany:
            return 0
        return 1

    choices = [["id"], ["done_by"], ["id", "done_by"], ["done_by", "id"]]
    assert sum(at_once(*[lambda fields=fields: click(fields) for fields in choices])) == 2
    assert Export.objects.count() == 2


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"dataset": "orderz"}, "dataset", r"There is no dataset 'orderz'\. Choose one of: .*errands"),
        ({"format": "docx"}, "format", r"There is no format 'docx'\. Choose one of: .*csv"),
        ({"fields": ["id", "salary"]}, "fields", r"no field salary\. Choose from: id, done_by\."),
        ({"period": "yesterday"}, "period", "There is no period 'yesterday'"),
        ({"period": "custom"}, "period", "Give both"),
        (
            {"period": "custom", "date_from": date(2026, 2, 1), "date_to": date(2026, 1, 1)},
            "period",
            "Swap the two dates",
        ),
    ],
)
def test_bad_input_is_refused_with_its_field(ada: User, wrong: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        ask(ada, **wrong)
    assert caught.value.field == field
    assert nothing_recorded()


class Forbidden(Errands):
    def permitted(self, user: AbstractBaseUser) -> bool:
        return False


class Faulty(Errands):
    def permitted(self, user: AbstractBaseUser) -> bool:
        raise ZeroDivisionError("secret of the server")


class Away(Errands):
    def permitted(self, user: AbstractBaseUser) -> bool:
        raise OperationalError("away")


@pytest.mark.parametrize(
    ("kind", "error"),
    [(Forbidden, NoPermission), (Faulty, DatasetFailed), (Away, NotRecorded)],
)
def test_a_dataset_without_permission_or_with_an_error_is_refused(
    ada: User, kind: type[Errands], error: type[ExportError]
) -> None:
    with registered(kind), pytest.raises(error) as caught:
        ask(ada, "pdf")
    assert type(caught.value) is error
    assert "secret" not in caught.value.message
    assert nothing_recorded()


@pytest.mark.parametrize("question", [request_export, estimate_request], ids=["click", "estimate"])
@pytest.mark.parametrize("wrong", [{"fields": ["nothing"]}, {"fields": ["id", "id"]}, {"options": {"x": "y"}}], ids=str)
def test_errors_about_a_forbidden_dataset_do_not_reveal_its_columns(
    ada: User, question: Any, wrong: dict[str, Any]
) -> None:
    with registered(Forbidden), pytest.raises(NoPermission) as caught:
        question(ada, ExportRequest("errands", "csv", **wrong))
    assert not any(column.name in caught.value.message for column in Errands.columns)


def test_errors_do_not_list_forbidden_datasets(ada: User) -> None:
    with registered(Forbidden), pytest.raises(UnknownDataset) as caught:
        ask(ada, dataset="nonsense")
    assert "orders" in caught.value.message
    assert "errands" not in caught.value.message


@pytest.mark.parametrize("error", [OperationalError("away"), IntegrityError("gone"), DatabaseError("other")], ids=repr)
def test_a_database_error_is_reported_as_not_recorded(
    ada: User, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*args: Any) -> None:
        raise error

    monkeypatch.setattr(requests, "lock_owner", refuse)
    with pytest.raises(NotRecorded, match="could not be recorded"):
        ask(ada)
    assert nothing_recorded()


# --- cancel ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(OPEN))
def test_an_open_export_can_be_cancelled(ada: User, state: str) -> None:
    export = export_in(state, ada)
    waiting, done = part_in("waiting", export), part_in("done", export, 1)
    lease = Part.objects.claim(waiting.pk)
    cancel_export(export)
    waiting.refresh_from_db()
    done.refresh_from_db()
    assert (export.state, waiting.state, done.state) == ("cancelled", "cancelled", "done")
    assert lease is not None
    assert not lease.work.held_rows().exists()


@pytest.mark.parametrize("state", [state for state in State if state not in OPEN])
def test_an_ended_export_cannot_be_cancelled(ada: User, state: State) -> None:
    export = export_in(state, ada)
    with pytest.raises(WrongState):
        cancel_export(export)
    assert Export.objects.get().state == state


# --- retry ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("artifact_dir")
def test_a_retry_keeps_finished_parts(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    errands(25)
    export = ask(ada)
    step("plan_export", export.pk)
    parts = list(export.parts.order_by("index"))
    step("render_part", parts[0].pk)
    cancel_export(export)
    hints.sent.clear()
    with committed():
        retry_export(export)
    assert (export.state, export.finished_at) == ("queued", None)
    assert hints.sent == [("exports.tasks.plan_export", (export.pk,))]
    work(export)
    assert (export.state, export.rows) == ("ready", 25)
    assert [part.attempt for part in export.parts.order_by("index")] == [1, 2, 2]


def test_a_retry_fences_off_earlier_leases(ada: User) -> None:
    export = export_in("rendering", ada)
    part = part_in("waiting", export)
    lease = Part.objects.claim(part.pk)
    cancel_export(export)
    retry_export(export)
    assert lease is not None
    assert not lease.work.held_rows().exists()
    part.refresh_from_db()
    assert (part.state, part.attempt_limit - part.attempt) == (PartState.WAITING, 5)


@pytest.mark.parametrize("state", [state for state in State if state not in ("failed", "cancelled")])
def test_only_failed_and_cancelled_exports_can_be_retried(ada: User, state: State) -> None:
    export = export_in(state, ada)
    with pytest.raises(WrongState):
        retry_export(export)
    assert Export.objects.get().state == state


def test_a_retry_is_refused_while_the_same_export_is_open(ada: User) -> None:
    failed = export_in("failed", ada, fingerprint="the same")
    export_in("queued", ada, fingerprint="the same")
    with pytest.raises(WrongState, match="The same export is already under way"):
        retry_export(failed)
    failed.refresh_from_db()
    assert failed.state == "failed"


def test_a_retry_counts_against_the_limits(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 1}
    failed = export_in("failed", ada)
    export_in("queued", ada)
    with pytest.raises(TooMany):
        retry_export(failed)


# --- expire ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("artifact_dir")
def test_expiring_deletes_the_file_after_the_commit(ada: User) -> None:
    export = run(ada)
    artifact = export.artifact
    with committed():
        expire_export(export)
        assert files() == {artifact}
    assert files() == set()
    assert (export.state, export.artifact) == ("expired", "")


@pytest.mark.parametrize("state", [state for state in State if state != "ready"])
def test_only_ready_exports_can_be_expired(ada: User, state: State) -> None:
    with pytest.raises(WrongState):
        expire_export(export_in(state, ada))
