"""Tests of attacks by users, and of mistakes that operators must not be able to make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from config import health
from exports.errors import UnknownField
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Download, Export, Part
from exports.states import State
from notifications.models import Notification
from tests.support.exports import Errands, ask, committed, errands, export_in, files, part_in, registered, run
from tests.support.notices import tell

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


@pytest.fixture(autouse=True)
def _errands() -> Iterator[None]:
    errands(3)
    with registered(Errands):
        yield


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com"))
    return client


def post_json(page: Client, **sent: Any) -> Any:
    return page.post("/api/exports/", json.dumps(sent), content_type="application/json")


# --- other users' data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["anonymous", "another user", "clerk", "boss"])
def test_no_url_gives_access_to_another_users_export(client: Client, ada: User, bob: User, who: str) -> None:
    """Not even to staff: the admin shows the row but never the file."""
    theirs, notification = run(bob), Notification.objects.get(user=bob)
    if who == "another user":
        client.force_login(ada)
    elif who != "anonymous":
        staff = User.objects.create_user(who, is_staff=True, is_superuser=who == "boss")
        staff.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
        client.force_login(staff)
    uuid = str(theirs.uuid)
    for path in (f"/exports/{uuid}/", f"/exports/{uuid}/progress/?seen=ready", f"/exports/{uuid}/download/"):
        assert client.get(path).status_code == (302 if who == "anonymous" else 404)
    assert client.get(f"/api/exports/{uuid}/").status_code == (401 if who == "anonymous" else 404)
    assert uuid not in client.get(f"/exports/rows/?open={uuid}").content.decode()
    assert client.get(f"/notifications/{notification.pk}/open/").status_code == (302 if who == "anonymous" else 404)
    assert uuid not in client.get("/api/exports/").content.decode()
    notification.refresh_from_db()
    assert notification.read_at is None
    assert not Download.objects.exists()


def test_signing_in_creates_a_new_session(client: Client, ada: User) -> None:
    """A session planted by an attacker is useless afterwards (session fixation)."""
    session = client.session
    session["planted"] = True
    session.save()
    client.post("/accounts/login/", {"username": "ada", "password": "password", "next": "//evil.example"})
    assert client.session.session_key != session.session_key
    assert client.session["_auth_user_id"] == str(ada.pk)


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_never_redirects_to_another_site(client: Client, ada: User, where: str) -> None:
    answer = client.post("/accounts/login/", {"username": "ada", "password": "password", "next": where})
    assert answer["Location"] == "/exports/"
    link = tell(ada)
    Notification.objects.filter(pk=link.pk).update(link=where)
    assert client.get(f"/notifications/{link.pk}/open/")["Location"] == "/notifications/"


@pytest.mark.parametrize("path", ["/notifications/99999999999999999999999/open/", "/exports/?page=9" + "9" * 40])
def test_a_huge_number_is_no_server_error(page: Client, path: str) -> None:
    assert page.get(path).status_code in (200, 404)


@pytest.mark.parametrize("sent", [{}, {"format": "csv"}, {"format": "zip", "inside": "csv"}, {"period": "custom"}])
def test_a_form_without_its_fields_is_shown_again(page: Client, sent: dict[str, str]) -> None:
    answer = page.post("/exports/", sent)
    assert (answer.status_code, Export.objects.count()) == (422, 0)
    assert 'id="carryall-form"' in answer.content.decode()


# --- expensive requests ---------------------------------------------------------------------------------------------


def test_a_field_is_accepted_only_once(page: Client, ada: User) -> None:
    """Otherwise a small request could create a file of a thousand columns, and JSON objects with duplicate keys."""
    with pytest.raises(UnknownField, match=r"names the field id more than once"):
        request_export(ada, ExportRequest("errands", "csv", period="all", fields=["id", "done_by", "id"]))
    answer = post_json(page, dataset="errands", format="csv", fields=["id"] * 1_000)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "fields")
    assert not Export.objects.exists()


def test_an_error_message_does_not_repeat_a_long_list(page: Client) -> None:
    answer = post_json(page, dataset="errands", format="csv", fields=[f"field{n}" for n in range(20_000)])
    assert answer.status_code == 422
    assert "field0" in answer.json()["error"]["message"]
    assert len(answer.content) < 1_000


def test_pages_need_the_same_queries_for_one_export_and_for_many(page: Client, ada: User) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert page.get(path).status_code == 200
        return len(captured)

    export_in("rendering", ada)
    tell(ada)
    paths = ("/exports/", "/api/exports/", "/notifications/")
    few = [queries(path) for path in paths]
    for number in range(15):
        part_in("waiting", export_in("rendering", ada))
        tell(ada, key=str(number))
    assert [queries(path) for path in paths] == few


# --- time zones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "America", "a\0b"])
def test_an_unknown_time_zone_falls_back_to_the_sites(client: Client, settings: Settings, zone: str) -> None:
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": f"{__name__}.wrong_zone"}
    settings.TIME_ZONE = "Europe/Vienna"
    wrong_zone.name = zone  # type: ignore[attr-defined]
    client.force_login(User.objects.create_user("eve", "eve@example.com"))
    assert client.get("/exports/").status_code == 200
    assert client.post("/exports/", {"dataset": "errands", "format": "csv", "period": "all"}).status_code == 303
    assert Export.objects.get().time_zone == "Europe/Vienna"


def wrong_zone(user: AbstractBaseUser) -> str:
    return str(wrong_zone.name)  # type: ignore[attr-defined]


# --- internal errors ------------------------------------------------------------------------------------------------


def test_the_readiness_page_does_not_reveal_errors(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the database and of the broker contain host and user names, so they are only logged."""

    class UnavailableDatabase:
        def __getattr__(self, name: str) -> Any:
            raise OperationalError('connection to "10.1.2.3" failed for user "carryall"')

    monkeypatch.setattr(health, "connection", UnavailableDatabase())
    monkeypatch.setitem(current_app.conf, "broker_url", "redis://127.0.0.1:1/0")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content.decode().splitlines()) == (
        503,
        ["The database does not answer.", "The broker does not answer."],
    )


class Faulty(Errands):
    def permitted(self, user: AbstractBaseUser) -> bool:
        raise ZeroDivisionError("secret of the server")


def test_no_file_is_sent_if_the_permission_check_fails(
    page: Client, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    export = run(ada)
    with registered(Faulty):
        answer = page.get(f"/exports/{export.uuid}/download/")
    assert (answer.status_code, "Content-Disposition" in answer) == (503, False)
    assert "secret" not in answer.content.decode()
    assert "gone" not in answer.content.decode()
    assert "ZeroDivisionError" in caplog.text


def test_a_request_that_fails_on_our_side_is_logged(page: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The response says that we have been notified."""
    with registered(Faulty):
        assert post_json(page, dataset="errands", format="csv").status_code == 503
    assert "ZeroDivisionError" in caplog.text


# --- the admin ------------------------------------------------------------------------------------------------------


def test_deleting_a_user_in_the_admin_deletes_all_their_rows(boss: Client, ada: User) -> None:
    """Users have a right to it. The admin checks the delete permission of each model."""
    run(ada)
    ask(ada, "jsonl")
    Download.objects.create(export=Export.objects.earliest("pk"), user=ada)
    with committed():
        answer = boss.post(reverse("admin:auth_user_delete", args=[ada.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert not any(model._default_manager.exists() for model in (Export, Part, Download, Notification))
    assert files() == set()


def test_a_part_can_be_deleted_only_with_its_export(boss: Client, ada: User) -> None:
    """Without one of its parts, an export would become ready with missing rows."""
    export = export_in(State.RENDERING, ada)
    part = part_in("waiting", export)
    assert boss.post(reverse("admin:exports_part_delete", args=[part.pk]), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [part.pk], "post": "yes"}
    boss.post(reverse("admin:exports_part_changelist"), chosen)
    assert Part.objects.filter(pk=part.pk).exists()
    boss.post(reverse("admin:exports_export_delete", args=[export.pk]), {"post": "yes"})
    assert not Part.objects.exists()
