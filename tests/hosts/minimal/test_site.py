"""A fresh project with a user model of its own: export, pages, mails, reports and admin."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from durable import hints
from exports.models import Download, Export
from exports.storage import artifacts
from exports.upkeep import usage_report
from notifications import delivery
from notifications.models import Delivery
from tests.hosts.minimal.people.models import Person, Purchase

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Person:
    ada = Person.objects.create(login="ada", mailbox="ada@mail.example")
    Purchase.objects.create(person=ada, item="Tea", price=Decimal("2.50"))
    Purchase.objects.create(person=Person.objects.create(login="bob"), item="Gin", price=Decimal(20))
    return ada


@pytest.fixture
def boss() -> Person:
    return Person.objects.create_superuser("boss", "boss@mail.example", "password")


@pytest.fixture
def page() -> Client:
    return Client(headers={"host": "shop.example"})


def export(kind: str, tmp_path: Path) -> bytes:
    """Return the file that `manage.py export` makes for Ada."""
    target = tmp_path / f"mine.{kind}"
    named = {"user": "ada", "dataset": ["purchases"], "format": kind, "output": target}
    call_command("export", **named, inline=True)
    return target.read_bytes()


def deliver() -> None:
    """Send what the workers would send."""
    for each in Delivery.objects.filter(state=Delivery.State.PENDING):
        delivery.deliver(each.pk)


def test_the_checks_pass() -> None:
    call_command("check", fail_level="WARNING")


def test_a_person_exports_their_own_rows(ada: Person, tmp_path: Path) -> None:
    assert export("csv", tmp_path).decode("utf-8-sig").splitlines() == ["Item,Price,Price (currency)", "Tea,2.50,EUR"]
    assert export("pdf", tmp_path).startswith(b"%PDF")
    bundle = export("zip", tmp_path)
    assert b"manifest.json" in bundle


def test_files_are_in_a_private_folder_of_the_project(ada: Person, tmp_path: Path) -> None:
    export("csv", tmp_path)
    stored = Path(settings.BASE_DIR, "var", "carryall", "artifacts", Export.objects.get().artifact)
    assert stored.stat().st_mode & 0o777 == 0o600
    assert stored.parent.stat().st_mode & 0o777 == 0o700
    assert str(stored.parent.parent) in artifacts.whereabouts()


def test_the_pages_of_a_person(ada: Person, page: Client, tmp_path: Path) -> None:
    export("csv", tmp_path)
    made = Export.objects.get()
    page.force_login(ada)
    for url in (
        reverse("exports:list"),
        made.get_absolute_url(),
        reverse("notifications:list"),
        reverse("notifications:preferences"),
    ):
        assert page.get(url).status_code == 200, url
    download = page.get(reverse("exports:download", args=[made.uuid]))
    assert b"Tea" in b"".join(download)  # type: ignore[arg-type]
    assert Download.objects.get().user_id == ada.pk


def test_a_click_is_recorded_and_limited_to_its_owner(ada: Person, page: Client) -> None:
    page.force_login(ada)
    with hints.muted():
        answer = page.post(reverse("exports:list"), {"dataset": "purchases", "format": "csv", "range": "all"})
    assert answer.status_code == 303
    page.force_login(Person.objects.get(login="bob"))
    assert page.get(answer["Location"]).status_code == 404


def test_the_mail_goes_to_the_address_of_the_model(ada: Person, tmp_path: Path, mailoutbox: list[EmailMessage]) -> None:
    export("csv", tmp_path)
    deliver()
    (mail,) = mailoutbox
    assert mail.to == ["ada@mail.example"]
    assert mail.from_email == settings.DEFAULT_FROM_EMAIL
    assert mail.body.startswith("Hello,\n")
    assert f"https://shop.example{Export.objects.get().get_absolute_url()}" in mail.body


def test_the_weekly_report_goes_to_staff(
    ada: Person, boss: Person, tmp_path: Path, mailoutbox: list[EmailMessage]
) -> None:
    export("csv", tmp_path)
    with hints.muted():
        report, _ = usage_report.open_week(timezone.now() - timedelta(days=7), timezone.now())
    for step in (usage_report.collect, usage_report.render, usage_report.send):
        assert "error" not in step(report.pk)
    report.refresh_from_db()
    assert [customer["name"] for customer in report.figures["customers"]] == ["ada"]
    deliver()
    mail = next(mail for mail in mailoutbox if mail.attachments)
    assert mail.to == ["boss@mail.example"]


def test_every_list_of_the_admin_can_be_searched(ada: Person, boss: Person, page: Client, tmp_path: Path) -> None:
    export("csv", tmp_path)
    page.force_login(boss)
    for model, options in admin.site._registry.items():
        changelist = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert page.get(changelist, {"q": "ada"}).status_code == 200, options
    found = page.get(reverse("admin:exports_export_changelist"), {"q": "mail.example"})
    assert b"1 export" in found.content
    nothing = page.get(reverse("admin:exports_export_changelist"), {"q": "bob"})
    assert b"0 exports" in nothing.content
