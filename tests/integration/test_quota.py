"""Tests of the limits per owner: requests and retries count, and cancelling does not refund them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from pytest_django import Settings

from exports.errors import TooMany, WrongState
from exports.intake import quota
from exports.intake.requests import cancel_export, retry_export
from exports.models import Export, QuotaUse
from tests.support.exports import Errands, ask, export_in, registered
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 31, 12, 0, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _errands() -> Iterator[None]:
    with registered(Errands):
        yield


def limit(settings: Settings, **keys: object) -> None:
    settings.CARRYALL = settings.CARRYALL | keys


def pass_time(owner: User, minutes: float) -> None:
    """Move all requests of the owner `minutes` into the past."""
    QuotaUse.objects.filter(owner=owner).update(used_at=F("used_at") - timedelta(minutes=minutes))


def test_requests_and_retries_count_together(ada: User, bob: User, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=3)
    export = ask(ada)
    for _ in range(2):
        cancel_export(export)
        retry_export(export)
    cancel_export(export)
    with pytest.raises(TooMany, match="Limit reached"):
        retry_export(export)
    with pytest.raises(TooMany, match="Limit reached"):
        ask(ada, "jsonl")
    export.refresh_from_db()
    assert (export.state, Export.objects.count()) == ("cancelled", 1)
    ask(bob)


def test_cancelling_does_not_refund_the_hourly_limit(ada: User, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=3, MAX_OPEN_PER_USER=1)
    for kind in ("csv", "jsonl", "json"):
        cancel_export(ask(ada, kind))
    with pytest.raises(TooMany, match=r"Limit reached \(3 per hour\)"):
        ask(ada)


def test_each_use_counts_for_one_hour(ada: User, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=2)
    ask(ada)
    pass_time(ada, 20)
    ask(ada, "jsonl")
    with pytest.raises(TooMany) as refused:
        ask(ada, "json")
    assert 40 * 60 - 30 < (refused.value.retry_after or 0) <= 40 * 60
    pass_time(ada, 41)
    ask(ada, "json")
    assert QuotaUse.objects.filter(owner=ada).count() == 2, "rows older than an hour are deleted"
    with pytest.raises(TooMany) as again:
        ask(ada, "pdf")
    assert 19 * 60 - 30 < (again.value.retry_after or 0) <= 19 * 60


def test_a_lowered_limit_applies_immediately(ada: User, settings: Settings) -> None:
    for kind in ("csv", "jsonl", "json"):
        ask(ada, kind)
        pass_time(ada, 10)
    limit(settings, MAX_PER_HOUR=1)
    with pytest.raises(TooMany) as refused:
        ask(ada, "pdf")
    assert 50 * 60 - 30 < (refused.value.retry_after or 0) <= 50 * 60, "until all requests are an hour old"


def test_the_message_has_the_time_in_the_owners_time_zone(
    ada: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(settings, MAX_PER_HOUR=1, USER_TIME_ZONE="tests.integration.test_requests.tokyo")
    ask(ada)
    QuotaUse.objects.update(used_at=NOON)
    monkeypatch.setattr(quota, "database_now", lambda model: NOON + timedelta(minutes=10))
    with pytest.raises(TooMany) as refused:
        ask(ada, "jsonl")
    assert refused.value.message == "Limit reached (1 per hour). Try again at 22:01."
    assert refused.value.retry_after == 50 * 60


def test_retries_by_an_operator_are_not_limited_or_counted(ada: User, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=1, MAX_OPEN_PER_USER=1, RETRY_PAUSE=60)
    failed = export_in("failed", ada)
    ask(ada)
    retry_export(failed, by_operator=True)
    assert (failed.state, QuotaUse.objects.count()) == ("queued", 1)


@pytest.mark.django_db(transaction=True)
def test_the_limit_holds_for_concurrent_retries(ada: User, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=2)
    exports = [export_in("failed", ada) for _ in range(5)]

    def retry(export: Export) -> int:
        try:
            retry_export(export)
        except TooMany:
            return 0
        return 1

    assert sum(at_once(*[lambda export=export: retry(export) for export in exports])) == 2
    assert Export.objects.filter(state="queued").count() == QuotaUse.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_retries_of_one_export_count_once(ada: User) -> None:
    export = export_in("failed", ada)

    def retry() -> int:
        try:
            retry_export(Export.objects.get(pk=export.pk))
        except WrongState:
            return 0
        return 1

    assert sum(at_once(*[retry] * 4)) == QuotaUse.objects.count() == 1


def test_an_impossible_retry_is_not_counted(ada: User) -> None:
    with pytest.raises(WrongState):
        retry_export(export_in("ready", ada))
    assert not QuotaUse.objects.exists()


# --- the pause before a retry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_retry_must_wait_after_the_end_of_the_export(ada: User, settings: Settings, state: str) -> None:
    limit(settings, RETRY_PAUSE=5)
    export = export_in(state, ada)
    with pytest.raises(TooMany, match=r"This export ended a moment ago\. Try again in [45] s\.") as refused:
        retry_export(export)
    assert refused.value.retry_after in (4, 5)
    assert not QuotaUse.objects.exists()
    Export.objects.update(finished_at=F("finished_at") - timedelta(seconds=5))
    retry_export(export)
    assert export.state == "queued"


# --- responses ------------------------------------------------------------------------------------------------------


@pytest.fixture
def signed_in(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def test_the_api_returns_429_with_retry_after(ada: User, signed_in: Client, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=1)
    ask(ada)
    failed = export_in("failed", ada)
    answer = signed_in.post(f"/api/exports/{failed.uuid}/retry/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many")
    assert 3500 < int(answer["Retry-After"]) <= 3600


def test_the_pages_return_429_with_the_message(ada: User, signed_in: Client, settings: Settings) -> None:
    limit(settings, RETRY_PAUSE=50)
    failed = export_in("failed", ada)
    answer = signed_in.post(f"/exports/{failed.uuid}/retry/")
    assert answer.status_code == 429
    assert 40 < int(answer["Retry-After"]) <= 50
    page = answer.content.decode()
    assert "This export ended a moment ago. Try again in" in page
    assert f"retry-{failed.uuid}" in page, "the page still has the button"
    limit(settings, MAX_PER_HOUR=1)
    ask(ada)
    answer = signed_in.post("/exports/", {"dataset": "errands", "format": "jsonl", "period": "all"})
    assert (answer.status_code, int(answer["Retry-After"]) > 3500) == (429, True)
    assert "Limit reached (1 per hour). Try again at" in answer.content.decode()


def test_staff_can_retry_for_an_owner_at_the_limit(ada: User, settings: Settings) -> None:
    limit(settings, MAX_PER_HOUR=1, RETRY_PAUSE=60)
    ask(ada)
    failed = export_in("failed", ada)
    staff = Client()
    staff.force_login(User.objects.create_superuser("root"))
    sent = {"action": "retry", "_selected_action": [str(failed.pk)]}
    assert staff.post("/admin/exports/export/", sent).status_code == 302
    failed.refresh_from_db()
    assert failed.state == "queued"
