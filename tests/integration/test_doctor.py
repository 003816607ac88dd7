"""Tests of the doctor: faults of an installation are reported, with how to fix them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from celery.app.control import Inspect
from django.core.files.storage import storages
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from deploy.redis_server import free_port
from durable.clock import database_now
from exports.models import Slot
from exports.upkeep import clocks, doctor, probes, schedules
from tests.support.host_apps import installed
from tests.support.smtp_sink import SmtpSink, smtp_sink

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
PURGE = "exports.tasks.purge_expired_exports"
REMIND = "exports.tasks.remind_of_expiring_exports"


def look(subject: str) -> str:
    return probes.PROBES[subject]()


# --- schedules ------------------------------------------------------------------------------------------------------


@pytest.fixture
def _old_schedules() -> None:
    """Schedules that were installed nine days ago. All runs are done, but the reminders' only until an hour ago."""
    PeriodicTask.objects.update(date_changed=database_now(Slot) - 9 * 24 * HOUR)
    Slot.objects.all().delete()
    for schedule in schedules.registered():
        done(schedule.task, database_now(Slot) - HOUR if schedule.task == REMIND else database_now(Slot))


def done(task: str, moment: datetime) -> None:
    finished = {"state": Slot.State.DONE, "next_attempt_at": None, "finished_at": moment}
    Slot.objects.create(schedule=task, slot=moment, **finished)


@pytest.mark.usefixtures("_old_schedules")
def test_a_run_that_was_not_started_is_reported() -> None:
    assert "not started: Reminder of expiring files (" in look("schedules")
    assert "Run selected tasks" in look("schedules")
    done(REMIND, database_now(Slot))
    assert look("schedules") == ""


@pytest.mark.usefixtures("_old_schedules")
def test_a_missed_run_past_its_deadline_is_reported() -> None:
    Slot.objects.filter(schedule=PURGE).update(slot=database_now(Slot) - 50 * HOUR)
    assert "Nightly purge (" in look("schedules")


@pytest.mark.usefixtures("_old_schedules")
def test_runs_before_an_edit_are_ignored() -> None:
    PeriodicTask.objects.filter(task=REMIND).update(date_changed=database_now(Slot))
    assert look("schedules") == ""


@pytest.mark.usefixtures("_old_schedules")
def test_changes_by_beat_are_not_edits() -> None:
    now = database_now(Slot)
    PeriodicTask.objects.filter(task=REMIND).update(date_changed=now, last_run_at=now)
    assert "Reminder of expiring files" in look("schedules")


@pytest.mark.usefixtures("_old_schedules")
def test_a_failed_last_run_is_reported_with_its_reason() -> None:
    done(REMIND, database_now(Slot))
    Slot.objects.filter(schedule=PURGE).update(state=Slot.State.FAILED, outcome={"error": "OSError('no disk')"})
    assert "no disk" in look("schedules")
    done(PURGE, database_now(Slot) + timedelta(seconds=1))
    assert look("schedules") == ""


@pytest.mark.usefixtures("_old_schedules")
def test_a_stopped_beat_is_reported_although_workers_start_the_runs() -> None:
    done(REMIND, database_now(Slot))
    assert "celery -A config.celery beat" in look("Beat")
    PeriodicTask.objects.filter(task=PURGE).update(last_run_at=database_now(Slot) - HOUR)
    assert "is not running" in look("Beat")
    PeriodicTask.objects.filter(task=PURGE).update(last_run_at=database_now(Slot))
    assert look("Beat") == ""


# --- Celery ---------------------------------------------------------------------------------------------------------


def test_a_process_without_the_sites_app_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("Celery app") == ""
    monkeypatch.setattr("durable.celery.site._installed", [])
    assert "Call durable.celery.install(app) in the module of your Celery app" in look("Celery app")
    found = {finding.subject: finding for finding in doctor.examine()}
    assert not any(found[subject].ok for subject in ("Celery app", "broker", "workers"))


def test_a_broker_that_does_not_answer_is_reported() -> None:
    with installed(f"redis://127.0.0.1:{free_port()}/0"):
        assert "Connection refused" in look("broker")


@pytest.mark.parametrize(
    ("routes", "words"),
    [({}, ""), ({"exports.tasks.render_part": {"queue": "slow"}}, "celery -A tests.support.host_apps worker -Q slow")],
)
def test_a_queue_of_ours_that_no_worker_serves_is_reported(
    monkeypatch: pytest.MonkeyPatch, routes: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(Inspect, "active_queues", lambda self: {"one@host": [{"name": "celery"}]})
    with installed("redis://127.0.0.1:1/0", task_routes=routes):
        assert words in look("workers")
        assert bool(words) == bool(look("workers"))


# --- settings -------------------------------------------------------------------------------------------------------


def test_a_language_with_texts_is_accepted(settings: Settings) -> None:
    for code in ("en", "en-gb", "en-us"):
        settings.LANGUAGE_CODE = code
        assert look("language") == "", code


@pytest.mark.parametrize(
    ("code", "words"), [("xx", "not one of"), ("klingon", "not one of"), ("de", "no translation of Carryall")]
)
def test_a_language_without_texts_is_reported(settings: Settings, code: str, words: str) -> None:
    settings.LANGUAGE_CODE = code
    assert words in look("language")


PUBLIC = ["export.example.com", ".example.org"]


@pytest.mark.parametrize(
    ("url", "hosts", "redirects", "words"),
    [
        ("https://export.example.com", PUBLIC, True, ""),
        ("https://www.example.org", PUBLIC, True, ""),
        ("http://127.0.0.1:8000", ["127.0.0.1", "localhost", "[::1]"], False, ""),
        ("", PUBLIC, False, "are broken"),
        ("export.example.com", PUBLIC, False, "are broken"),
        ("ftp://export.example.com", PUBLIC, False, "are broken"),
        ("https://exports.example.com", PUBLIC, True, "add it to ALLOWED_HOSTS"),
        ("http://localhost:8000", [*PUBLIC, "localhost"], False, "the reader's own machine"),
        ("http://[::1]:8000", ["*"], False, "the reader's own machine"),
        ("http://export.example.com", PUBLIC, True, "start it with https://"),
    ],
)
def test_a_wrong_site_url_is_reported(
    settings: Settings, url: str, hosts: list[str], redirects: bool, words: str
) -> None:
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = hosts, redirects
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": url}
    assert words in look("SITE_URL")
    assert bool(words) == bool(look("SITE_URL"))


def test_a_short_visibility_timeout_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    options = current_app.conf.broker_transport_options | {"visibility_timeout": 60}
    monkeypatch.setitem(current_app.conf, "broker_transport_options", options)
    assert "visibility timeout (60 s) is not longer" in look("settings")


# --- mail -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sink(settings: Settings) -> Iterator[SmtpSink]:
    with smtp_sink() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", server.port, 1
        yield server


def test_a_mail_server_is_checked_without_sending_mail(sink: SmtpSink) -> None:
    assert look("mail") == ""
    assert (sink.connections, sink.accepted) == (1, [])


def test_a_silent_or_unreachable_mail_server_is_reported(sink: SmtpSink) -> None:
    sink.silent = True
    assert "timed out" in look("mail")
    sink.silent = False
    sink.close()
    assert f"Connection refused (127.0.0.1:{sink.port})" in look("mail")
    assert "EMAIL_URL" in look("mail")


def test_a_refused_mail_login_is_reported(sink: SmtpSink, settings: Settings) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "carryall", "wrong"
    assert "AUTH extension not supported" in look("mail")


def test_checking_the_file_backend_writes_no_mail(settings: Settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    assert look("mail") == ""
    assert list((tmp_path / "mail").iterdir()) == []


# --- clocks ---------------------------------------------------------------------------------------------------------


def test_a_wrong_clock_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time
    monkeypatch.setattr(clocks, "workers_ahead", lambda patience: [])
    assert look("clocks") == ""
    monkeypatch.setattr(time, "time", lambda: right() + 90)
    assert look("clocks").startswith("this machine is 90 s ahead of the database's")
    monkeypatch.setattr(time, "time", lambda: right() - 90)
    assert look("clocks").startswith("this machine is 90 s behind the database's")


# --- storage, and the time limit of a probe -------------------------------------------------------------------------


def test_a_storage_that_does_not_delete_is_reported(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("storage") == ""
    monkeypatch.setattr(type(storages["exports"]), "delete", lambda self, name: None)
    assert "does not delete files" in look("storage")


def test_a_probe_that_times_out_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> str:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            try:
                return client.recv(1).decode()
            except Exception:  # noqa: BLE001 - as a library may do
                return "caught"

    def running() -> str:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"], check=True)
        return ""

    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.3)
    monkeypatch.setattr(doctor, "PROBES", {"silent": silent, "running": running, "fine": lambda: ""})
    found = {finding.subject: finding.text for finding in doctor.examine()}
    assert found["silent"].startswith("no answer within 0.3 s")
    assert found["running"].startswith("no answer within 0.3 s")
    assert found["fine"] == "ok"
