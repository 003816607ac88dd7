"""Without the optional libraries, all but what needs them works, and a message says what to install."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from celery import Celery, current_app
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

import durable
import durable.celery
import exports
import notifications
from durable import hints
from exports.formats import formats
from exports.upkeep import probes, usage_report
from notifications import delivery
from notifications.models import Delivery
from tests.hosts.minimal.people.models import Person, Purchase

pytestmark = pytest.mark.django_db
NEED_A_LIBRARY = (
    "durable.celery.transport", "exports.formats.pdf.", "exports.storage.bucket", "exports.demo",
    "notifications.outgoing",
)  # fmt: skip
"""Prefixes of the modules that are imported only if their library is used."""


@pytest.fixture
def ada() -> Person:
    ada = Person.objects.create(login="ada", mailbox="ada@mail.example")
    Purchase.objects.create(person=ada, item="Tea", price=2)
    return ada


def export(kind: str, folder: Path) -> bytes:
    target = folder / f"mine.{kind}"
    call_command("export", user="ada", dataset=["purchases"], format=kind, output=target, inline=True)
    return target.read_bytes()


def test_no_other_module_needs_an_optional_library() -> None:
    for app in (durable, exports, notifications):
        for module in walk_packages(app.__path__, f"{app.__name__}.", onerror=lambda _: None):
            if not module.name.startswith(NEED_A_LIBRARY):
                import_module(module.name)


def test_formats_without_libraries_work(ada: Person, tmp_path: Path) -> None:
    assert {kind.key for kind in formats} == {"csv", "json", "jsonl", "xlsx", "zip"}
    assert export("csv", tmp_path).count(b"\n") == 2
    assert export("xlsx", tmp_path).startswith(b"PK")
    assert export("zip", tmp_path).startswith(b"PK")


@pytest.mark.parametrize(("kind", "extra"), [("pdf", "pdf"), ("parquet", "parquet")])
def test_a_format_that_is_not_installed_says_what_to_install(
    ada: Person, tmp_path: Path, kind: str, extra: str
) -> None:
    with pytest.raises(CommandError, match=rf'pip install "carryall\[{extra}\]"`. Choose one of: csv, '):
        export(kind, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "extra"),
    [("WEBHOOKS_PER_USER", 1, "webhooks"), ("VAPID_PRIVATE_KEY", "x", "push"), ("CHAT_SCHEMES", ["x"], "chat")],
)
def test_channels_that_are_not_installed_are_reported(settings: Settings, key: str, value: object, extra: str) -> None:
    settings.CARRYALL = settings.CARRYALL | {key: value}
    with pytest.raises(SystemCheckError, match=rf'pip install "carryall\[{extra}\]"'):
        call_command("check")


def test_the_form_does_not_offer_it(ada: Person) -> None:
    client = Client(headers={"host": "shop.example"})
    client.force_login(ada)
    page = client.get(reverse("exports:list")).content.decode()
    assert 'value="csv"' in page
    assert 'value="pdf"' not in page


def test_the_weekly_report_is_html(ada: Person, tmp_path: Path, mailoutbox: list[EmailMessage]) -> None:
    Person.objects.create_superuser("boss", "boss@mail.example", "password")
    export("csv", tmp_path)
    with hints.muted():
        report, _ = usage_report.open_week(timezone.now() - timedelta(days=7), timezone.now())
    for step in (usage_report.collect, usage_report.render, usage_report.send):
        assert "error" not in step(report.pk)
    for each in Delivery.objects.filter(state=Delivery.State.PENDING):
        delivery.deliver(each.pk)
    ((name, content, kind),) = next(mail.attachments for mail in mailoutbox if mail.attachments)
    assert (name.rpartition(".")[2], kind) == ("html", "text/html")
    assert "<td>ada</td>" in content


def test_the_doctor_says_that_it_is_not_installed() -> None:
    assert (probes.PROBES["PDF"](), probes.PROBES["fonts"]()) == ("", "")
    assert 'pip install "carryall[pdf]"' in probes.FACTS["PDF"]()


def test_the_checks_name_the_library_of_a_storage_and_of_a_broker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = {"BACKEND": "exports.storage.bucket.ArtifactBucket", "OPTIONS": {"bucket": "b", "prefix": "p"}}
    settings.STORAGES = settings.STORAGES | {"exports": bucket}
    monkeypatch.setitem(current_app.conf, "broker_url", "redis://broker.example")
    with pytest.raises(SystemCheckError) as caught:
        call_command("check")
    assert 'pip install "carryall[s3]"' in str(caught.value)
    assert 'pip install "carryall[redis]"' in str(caught.value)


def test_celery_runs_with_another_broker_than_redis() -> None:
    durable.celery.install(Celery("shop", broker="memory://"))
