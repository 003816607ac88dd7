"""A site whose router puts our own tables into a second database: CARRYALL_TEST_SITE=split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connections, models, transaction
from django.test import Client, TestCase
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from durable.fields import UserForeignKey
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export, OwnerLock, Part
from exports.states import State
from exports.upkeep import purge, schedules
from notifications.api import notify
from notifications.delivery import deliver
from notifications.models import Delivery, Notification, Preference
from tests.support.exports import (
    Errands,
    ask,
    content_of,
    errands,
    export_in,
    files,
    part_in,
    registered,
    run,
    step,
    told,
    work,
)
from tests.support.specimens import Specimens, collect
from tests.work.models import Specimen

pytestmark = [pytest.mark.site("split"), pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]

OF_USERS = [
    (model, field) for model in apps.get_models() for field in model._meta.fields if isinstance(field, UserForeignKey)
]


@pytest.fixture(autouse=True)
def _datasets() -> Iterator[None]:
    """One dataset in each of the two databases."""
    errands(3)
    collect({f"row {number}": {} for number in range(5)})
    with registered(Errands), registered(Specimens):
        yield


def rows_of(user_pk: int) -> dict[str, int]:
    """Return the number of rows of a user in each of our own tables."""
    found = ((model, model._base_manager.filter(**{field.attname: user_pk})) for model, field in OF_USERS)
    counts = {model.__name__: rows.count() for model, rows in found}
    return {name: count for name, count in counts.items() if count}


def everything_of(user: User) -> None:
    """Create rows of every kind, and a file, for this user."""
    export = run(user)
    export.downloads.create(user=user)
    Preference.objects.create(user=user, kind="export_ready", channel="email", enabled=True)


def test_users_and_our_rows_are_in_two_databases(ada: User) -> None:
    export = export_in("queued", ada)
    assert (ada._state.db, export._state.db) == ("default", "carryall")
    for alias, table in (("default", Export._meta.db_table), ("carryall", User._meta.db_table)):
        assert table not in connections[alias].introspection.table_names()


def test_rows_are_read_where_they_are_written(ada: User) -> None:
    """The router sends reads of our own models to a database that has none of these tables."""
    part = part_in("waiting", export_in("rendering", ada))
    fresh = Part.objects.get(pk=part.pk)
    fresh.refresh_from_db()
    assert (fresh.export.parts.get(), fresh.owner) == (part, ada)


def test_an_export_is_made_told_and_downloaded(ada: User, client: Client) -> None:
    export = run(ada, dataset="specimens")
    assert (export.state, export.owner, told(ada)) == (State.READY, ada, ["export_ready"])
    client.force_login(ada)
    answer = client.get(reverse("exports:download", args=[export.uuid]))
    assert b"".join(answer) == content_of(export)
    assert export.downloads.get().user == ada
    deliver(Delivery.objects.get(channel="email").pk)
    assert Delivery.objects.get(channel="email").state == Delivery.State.SENT


@pytest.mark.usefixtures("django_db_setup")
def test_deleting_a_user_deletes_their_rows_and_files(ada: User, bob: User) -> None:
    everything_of(ada)
    everything_of(bob)
    kinds = {"Export", "Part", "Download", "QuotaUse", "OwnerLock", "Notification", "Preference"}
    key, theirs = ada.pk, rows_of(bob.pk)
    assert set(rows_of(key)) == set(theirs) == kinds
    with TestCase.captureOnCommitCallbacks(using="carryall", execute=True), committed_users():
        ada.delete()
        assert set(rows_of(key)) == kinds, "not before the user is gone"
    assert (rows_of(key), rows_of(bob.pk)) == ({}, theirs)
    assert Delivery.objects.count() == Delivery.objects.filter(notification__user=bob).count() > 0
    assert files() == {Export.objects.get().artifact}


def committed_users() -> Any:
    return TestCase.captureOnCommitCallbacks(execute=True)


def test_users_deleted_as_a_queryset_take_their_rows_along(ada: User, bob: User) -> None:
    for user in (ada, bob):
        export_in("ready", user)
    with committed_users():
        User.objects.all().delete()
    assert not Export.objects.exists()


def test_a_deletion_that_is_rolled_back_keeps_the_rows(ada: User) -> None:
    export_in("ready", ada)
    with committed_users(), pytest.raises(ZeroDivisionError), transaction.atomic():
        ada.delete()
        raise ZeroDivisionError
    assert rows_of(User.objects.get().pk) == {"Export": 1}


def test_the_admin_lists_searches_and_deletes(ada: User, bob: User, admin_client: Client) -> None:
    for user in (ada, bob):
        export = run(user)
        export.downloads.create(user=user)
    for model in (Export, Part, export.downloads.model, Notification, Delivery):
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        every = admin_client.get(address).content.decode()
        found = admin_client.get(address, {"q": "ada@example"}).content.decode()
        assert ("ada" in every, "bob" in every) == (True, True), model
        assert (">ada<" in found, ">bob<" in found) == (True, False), model
        for row in model._default_manager.all():
            assert admin_client.get(f"{address}{row.pk}/change/").status_code == 200
    with committed_users():
        admin_client.post(reverse("admin:auth_user_delete", args=[ada.pk]), {"post": "yes"})
    assert not User.objects.filter(username="ada").exists()
    assert {export.owner for export in Export.objects.all()} == {bob}


# --- users that are gone ----------------------------------------------------------------------------------------------


def deleted_with_sql(user: User) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [user.pk])


def test_the_work_of_a_deleted_owner_ends(ada: User) -> None:
    export = ask(ada)
    deleted_with_sql(ada)
    step("plan_export", export.pk)
    export.refresh_from_db()
    assert (export.state, export.error_code) == (State.FAILED, "no_permission")
    assert not Notification.objects.exists()


def test_a_notification_of_a_deleted_user_is_skipped(ada: User) -> None:
    notify(ada, "export_ready", dedupe_key="one")
    deleted_with_sql(ada)
    delivery = Delivery.objects.get(channel="email")
    deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error_message) == (Delivery.State.SKIPPED, "The user no longer exists.")


def test_the_purge_deletes_rows_without_a_user(ada: User, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "BATCH", 1)
    everything_of(ada)
    everything_of(bob)
    theirs = rows_of(bob.pk)
    deleted_with_sql(ada)
    assert purge.forget_missing_users() == 1
    assert (rows_of(ada.pk), rows_of(bob.pk)) == ({}, theirs)
    assert purge.forget_missing_users() == 0


def test_the_purge_keeps_all_rows_if_no_user_is_found(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    export_in("ready", ada)
    deleted_with_sql(ada)
    assert purge.forget_missing_users() == 0
    assert Export.objects.exists()
    assert "None of the users of exports is found" in caplog.text


# --- requests, schedules, datasets ------------------------------------------------------------------------------------


def test_a_request_locks_no_row_of_the_site(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": None}
    with TestCase.assertNumQueries(TestCase(), 0, using="default"):
        ask(ada)
    assert OwnerLock.objects.get().owner_id == ada.pk


def test_schedules_are_installed_once_both_databases_have_their_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    PeriodicTask.objects.all().delete()
    monkeypatch.setattr(schedules, "has_table", lambda model: model is PeriodicTask)
    schedules.install()
    assert not PeriodicTask.objects.exists()
    monkeypatch.undo()
    schedules.install()
    assert PeriodicTask.objects.count() == len(schedules.registered()) + 1


class OnReplica(Specimens):
    """Reads its rows from the replica."""

    def queryset(self, user: Any) -> models.QuerySet[Specimen]:
        return Specimen.objects.using("replica")


@pytest.mark.django_db(transaction=True, databases=["default", "carryall", "replica"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_a_dataset_may_read_from_a_replica(kind: str, settings: Settings) -> None:
    user = User.objects.create_user("carol")
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 2}
    seen: set[str] = set()

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "work_specimen" in sql:
            seen.add(context["connection"].alias)
        return execute(sql, params, many, context)

    with registered(OnReplica), ExitStack() as watched:
        for connection in connections.all():
            watched.enter_context(connection.execute_wrapper(watch))
        export = request_export(user, ExportRequest(dataset="specimens", format=kind)).export
        work(export)
    assert (export.state, export.rows, export.error_detail) == (State.READY, 5, "")
    assert seen <= {"replica"}
