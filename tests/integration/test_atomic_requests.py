"""A site with ATOMIC_REQUESTS: requests for exports inside the transaction of a page, from several threads at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, router, transaction
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from exports.datasets import datasets
from exports.intake import requests
from exports.intake.choices import ExportRequest
from exports.models import Export, QuotaUse
from tests.support import hints
from tests.support.exports import Errands, errands
from tests.support.threads import at_once
from tests.work.models import Errand

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("artifact_dir", "atomic_requests")]

REQUEST = ExportRequest(dataset="errands", format="csv", period="all")
ASKED: dict[str, Any] = {"dataset": "errands", "format": "csv", "period": "all"}


@pytest.fixture
def atomic_requests(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    for alias in {"default", router.db_for_write(Export)}:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": f"{__name__}.send_if_committed"}
    errands(3)
    datasets.register(Errands)
    yield
    datasets.unregister(Errands.key)


def send_if_committed(task: str, pks: Sequence[int]) -> None:
    """Record the hint if another connection sees the rows, as a worker has to."""
    other = connections[router.db_for_write(Export)].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM exports_export")
            assert cursor.fetchone()[0] >= len(pks), "the hint was sent before the commit"
    finally:
        other.close()
    hints.send(task, pks)


def clicker(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.mark.parametrize("locked", [True, False], ids=["by the lock", "by the constraint"])
def test_concurrent_clicks_create_one_export(ada: User, locked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock, the second click waits for the first one's row, and finds it after an IntegrityError."""
    if not locked:
        monkeypatch.setattr(requests, "lock_owner", lambda owner_pk: None)
    clients = [clicker(ada) for _ in range(4)]
    answers = at_once(
        *[
            lambda client=client: client.post("/api/exports/", ASKED, content_type="application/json")
            for client in clients
        ]
    )
    export = Export.objects.get()
    assert {answer.status_code for answer in answers} == {202}, [answer.content for answer in answers]
    assert {answer.json()["id"] for answer in answers} == {str(export.uuid)}
    assert sorted(answer.json()["existing"] for answer in answers) == [False, True, True, True]
    assert hints.sent == [("exports.tasks.plan_export", (export.pk,))]
    assert QuotaUse.objects.count() == 1


def test_the_page_redirects_to_the_export(ada: User) -> None:
    answer = clicker(ada).post("/exports/", ASKED)
    assert (answer.status_code, answer["Location"]) == (303, Export.objects.get().get_absolute_url())
    assert len(hints.sent) == 1


def test_a_refused_request_leaves_nothing(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_OPEN_PER_USER": 0}
    client = clicker(ada)
    assert client.post("/api/exports/", ASKED, content_type="application/json").status_code == 429
    assert client.post("/exports/", ASKED).status_code == 429
    assert (Export.objects.count(), hints.sent) == (0, [])


def test_a_page_that_fails_afterwards_takes_the_export_back(ada: User) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=router.db_for_write(Export)):
        made = requests.request_export(ada, REQUEST).export
        assert hints.sent == []
        raise ZeroDivisionError
    assert not Export.objects.filter(pk=made.pk).exists()
    assert hints.sent == []
    assert requests.request_export(ada, REQUEST).existing is False
    assert len(hints.sent) == 1


def test_an_estimate_that_takes_too_long_does_not_break_the_page(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """In PostgreSQL, a query that is cancelled ends the transaction of the page, unless a savepoint is around it."""

    def slow(self: Any, selection: Any) -> Any:
        with connections[router.db_for_write(Errand)].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(Errands, "estimate", slow)
    answer: Any = clicker(ada).get("/api/exports/estimate/", ASKED)
    assert isinstance(answer, HttpResponse)
    assert answer.status_code == 200
    planned = connections[router.db_for_write(Errand)].vendor == "postgresql"
    # PostgreSQL's planner makes the estimate, with another query.
    assert (json.loads(answer.content)["rows"] is not None) == planned
