"""Staff export the data of another user: with a permission, for the right user, recorded, and told to that user."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from exports.demo.models import Order
from exports.errors import NoPermission
from exports.formats.context import context_of
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Download, Export
from exports.pipeline.inline import run_inline
from exports.states import State
from notifications.models import Notification
from tests.support.exports import content_of
from tests.support.shop import orders

pytestmark = pytest.mark.django_db
REQUEST = ExportRequest("orders", "csv", fields=["number"], period="all")


@pytest.fixture
def staff(ada: User) -> User:
    """A member of staff with the permission and one order; Ada has three."""
    orders(ada)
    staff = User.objects.create_user("staff@example.com", "staff@example.com", "password", is_staff=True)
    staff.user_permissions.add(
        Permission.objects.get(codename="export_for_others"), Permission.objects.get(codename="view_export")
    )
    orders(staff, 1)
    Order.objects.filter(owner=staff).update(number="of staff")
    return User.objects.get(pk=staff.pk)


def run(export: Export) -> Export:
    run_inline(export, lambda _: None)
    return export


def test_the_file_has_the_subjects_rows_and_belongs_to_the_member_of_staff(staff: User, ada: User) -> None:
    export = run(request_export(staff, REQUEST, subject=ada).export)
    assert (export.state, export.owner, export.data_owner) == (State.READY, staff, ada)
    assert content_of(export).decode("utf-8-sig").split() == ["Order", "000000", "000001", "000002"]


def test_the_files_name_the_subject_and_not_the_member_of_staff(staff: User, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(first_name="Ada", last_name="Lovelace")
    request = ExportRequest(["orders"], "zip", inside=["csv"], period="all")
    export = run(request_export(staff, request, subject=ada).export)
    with zipfile.ZipFile(BytesIO(content_of(export))) as bundle:
        pages = [bundle.read(name).decode() for name in ("README.txt", "index.html")]
        assert json.loads(bundle.read("manifest.json"))["owner"] == "Ada Lovelace"
    assert all("Ada Lovelace" in page and "staff@example.com" not in page for page in pages)
    assert context_of(export, 0).owner == "Ada Lovelace"


def test_the_subject_is_told_at_once_and_cannot_switch_it_off(staff: User, ada: User) -> None:
    export = request_export(staff, REQUEST, subject=ada).export
    told = Notification.objects.get(user=ada)
    assert (told.kind, told.dedupe_key) == ("export_on_behalf", f"export-on-behalf:{export.uuid}")
    assert "staff@example.com has requested an export of your data: Orders" in told.text
    assert {delivery.channel for delivery in told.deliveries.all()} == {"in_app", "email"}


def test_the_preferences_do_not_offer_to_switch_it_off(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert "Somebody else exports your data" not in client.get("/notifications/preferences/").text


def test_without_the_permission_nothing_is_recorded(staff: User, ada: User) -> None:
    staff.user_permissions.clear()
    with pytest.raises(NoPermission):
        request_export(User.objects.get(pk=staff.pk), REQUEST, subject=ada)
    assert not Export.objects.exists()
    assert not Notification.objects.exists()


def test_a_withdrawn_permission_stops_the_export_and_the_download(staff: User, ada: User, client: Client) -> None:
    ready = run(request_export(staff, REQUEST, subject=ada).export)
    pending = request_export(staff, ExportRequest("orders", "json", period="all"), subject=ada).export
    staff.user_permissions.clear()
    assert (run(pending).state, pending.error_code) == (State.FAILED, "no_permission")
    client.force_login(staff)
    assert client.get(f"/exports/{ready.uuid}/download/").status_code == 403


def test_the_download_is_recorded_and_the_subject_sees_nothing(staff: User, ada: User, client: Client) -> None:
    export = run(request_export(staff, REQUEST, subject=ada).export)
    client.force_login(staff)
    answer: Any = client.get(f"/exports/{export.uuid}/download/")
    assert b"".join(answer.streaming_content)
    assert Download.objects.get().user == staff
    client.force_login(ada)
    assert client.get(f"/exports/{export.uuid}/").status_code == 404
    assert str(export.uuid) not in client.get("/exports/").text


def test_the_same_request_for_oneself_and_for_another_are_two_exports(staff: User, ada: User) -> None:
    mine, theirs = request_export(staff, REQUEST), request_export(staff, REQUEST, subject=ada)
    assert mine.export != theirs.export
    assert request_export(staff, REQUEST, subject=ada).existing


def test_an_export_of_a_deleted_user_fails_without_rows(staff: User, ada: User) -> None:
    export = request_export(staff, REQUEST, subject=ada).export
    User.objects.filter(pk=ada.pk).delete()
    assert (run(Export.objects.get(pk=export.pk)).pk, Export.objects.get().error_code) == (export.pk, "no_permission")


def test_the_admin_exports_for_a_user(staff: User, ada: User, client: Client) -> None:
    client.force_login(staff)
    assert "Add export" in client.get("/admin/exports/export/").text
    page = client.get("/admin/exports/export/add/")
    assert "The user is told" in page.text
    wrong = client.post("/admin/exports/export/add/", {"subject": "nobody", "chosen": ["orders"], "format": "zip"})
    assert "There is no such user." in wrong.text
    sent = {"subject": ada.username, "chosen": ["orders", "invoices"], "format": "csv"}
    assert "CSV holds one dataset" in client.post("/admin/exports/export/add/", sent).text
    done = client.post("/admin/exports/export/add/", sent | {"format": "zip"}, follow=True)
    assert "ada is told" in done.text
    assert Export.objects.get().data_owner == ada


def test_the_admin_refuses_staff_without_the_permission(staff: User, client: Client) -> None:
    staff.user_permissions.remove(Permission.objects.get(codename="export_for_others"))
    client.force_login(staff)
    assert "Add export" not in client.get("/admin/exports/export/").text
    assert client.post("/admin/exports/export/add/", {}).status_code == 403


def test_the_command_exports_for_a_user(staff: User, ada: User) -> None:
    arguments = ["export", "--dataset", "orders", "--format", "csv", "--inline", "--range", "all"]
    call_command(*arguments, "--user", staff.username, "--subject", "ada", stdout=StringIO(), stderr=StringIO())
    assert Export.objects.get().data_owner == ada
    with pytest.raises(CommandError, match="no access"):
        call_command(*arguments, "--user", "ada", "--subject", staff.username, stdout=StringIO(), stderr=StringIO())
