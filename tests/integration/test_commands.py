"""Tests of the management commands export, doctor and shell."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import connection
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from config.management.commands.shell import Command as Shell
from exports.management.commands.export import ProgressLine
from exports.models import Export
from exports.pipeline import inline
from exports.upkeep import doctor, probes
from exports.upkeep.doctor import examine
from tests.support import hints
from tests.support.exports import Errands, content_of, errands, export_in, registered

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


@pytest.fixture(autouse=True)
def _errands() -> Iterator[None]:
    errands(3)
    with registered(Errands):
        yield


def export(*more: str, user: str = "ada", dataset: str = "errands", kind: str = "csv") -> str:
    """Return the output of `manage.py export`."""
    out = StringIO()
    named = ["--user", user, "--dataset", dataset, "--format", kind]
    call_command("export", *named, *more, stdout=out, stderr=StringIO())
    return out.getvalue()


# --- export ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_inline_writes_the_output_file(ada: User, tmp_path: Path) -> None:
    target = tmp_path / "mine.csv"
    output = export("--inline", "--range", "all", "--output", str(target))
    made = Export.objects.get()
    assert output.splitlines() == [f"3 rows, {made.size} bytes, SHA-256 {made.sha256}", str(target)]
    assert target.read_bytes() == content_of(made)
    assert [task for task, _ in hints.sent if task.startswith("exports.")] == []


def test_the_file_keeps_its_name_in_an_output_folder(ada: User, tmp_path: Path) -> None:
    export("--inline", "--range", "all", "--output", str(tmp_path))
    assert (tmp_path / Export.objects.get().filename).stat().st_size > 0


def test_from_and_to_select_a_period(ada: User) -> None:
    assert export("--inline", "--from", "2026-03-01", "--to", "2026-03-01").startswith("3 rows")
    assert export("--inline", "--from", "2026-03-02", "--to", "2026-03-03").startswith("0 rows")


def test_fields_and_options_are_accepted(ada: User) -> None:
    export("--inline", "--range", "all", "--fields", "done_by, id", "--option", "delimiter=semicolon")
    made = Export.objects.get()
    assert (made.fields, made.options) == (["done_by", "id"], {"delimiter": "semicolon"})
    assert content_of(made).decode().splitlines()[0].lstrip("\ufeff") == "Done by;Number"


def test_a_bundle_of_several_datasets(ada: User, tmp_path: Path) -> None:
    output = export(
        "--inline",
        "--dataset",
        "orders",
        "--inside",
        "csv,jsonl",
        "--range",
        "all",
        "--output",
        str(tmp_path),
        kind="zip",
    )
    made = Export.objects.get()
    assert (made.datasets, made.inside) == (["errands", "orders"], ["csv", "jsonl"])
    assert output.splitlines()[1:] == [str(tmp_path / made.filename)]


def test_without_inline_it_waits_for_the_workers(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read finds the export queued. Then the workers complete it."""

    def workers(seconds: float) -> None:
        inline.run_inline(Export.objects.get(), lambda _: None)

    monkeypatch.setattr("exports.management.commands.export.time.sleep", workers)
    assert export("--range", "all").startswith("3 rows")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_in_a_terminal_and_a_line_for_each_state_elsewhere(ada: User) -> None:
    terminal, log = Terminal(), StringIO()
    for out in (terminal, log):
        line = ProgressLine(OutputWrapper(out))
        for state in ("queued", "rendering", "rendering", "ready"):
            line.show(export_in(state, ada))
        line.end()
    assert terminal.getvalue().count("\r") == 4
    assert terminal.getvalue().count("\n") == 1
    assert [text.split(",")[0] for text in log.getvalue().splitlines()] == ["Queued", "Rendering", "Ready"]


class Faulty(Errands):
    key = "faulty"

    def source(self, *args: Any) -> Any:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        ((), {"user": "nobody"}, "There is no user nobody."),
        ((), {"dataset": "orderz"}, "There is no dataset 'orderz'."),
        ((), {"kind": "docx"}, "There is no format 'docx'."),
        (("--from", "2026-03-01"), {}, "Give both"),
        (("--from", "2026-03-01", "--to", "2026-03-02", "--range", "ytd"), {}, "Give one of them"),
        (("--from", "tomorrow"), {}, "invalid .*day value"),
        (("--fields", ","), {}, "Choose at least one field."),
        (("--fields", "shoe_size"), {}, "has no field shoe_size"),
        (("--option", "delimiter"), {}, "--option delimiter has no value"),
        (("--option", "delimiter=dash"), {}, "The option delimiter cannot be dash"),
        (("--inside", "csv"), {}, "Only a bundle has formats inside"),
        (("--dataset", "orders"), {}, "CSV holds one dataset"),
        ((), {"dataset": "faulty"}, "The data could not be read"),
    ],
)
def test_errors_are_one_sentence(ada: User, arguments: tuple[str, ...], named: dict[str, str], words: str) -> None:
    with registered(Faulty), pytest.raises(CommandError, match=words):
        export("--inline", *arguments, **named)


# --- doctor ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost"]  # without the one that pytest-django adds
    monkeypatch.setattr(probes, "WORKER_ANSWER", 0.1)
    monkeypatch.setitem(probes.PROBES, "workers", lambda: "no worker serves bulk and high: start one.")


@pytest.mark.usefixtures("_no_redis")
def test_the_doctor_reports_faults_with_their_fix() -> None:
    PeriodicTask.objects.filter(name="Nightly purge").update(enabled=False)
    found = {finding.subject: finding for finding in examine()}
    assert set(found) == set(probes.PROBES)
    assert (found["broker"].ok, "broker_url" in found["broker"].text) == (False, True)
    assert (found["schedules"].ok, "Nightly purge" in found["schedules"].text) == (False, True)
    for subject in (
        "settings", "language", "SITE_URL", "database", "clocks", "mail", "storage", "room on disk", "PDF", "datasets",
    ):  # fmt: skip
        assert found[subject].ok, found[subject].text


@pytest.mark.usefixtures("_no_redis")
def test_the_doctor_command_fails_if_there_is_a_fault() -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="how to fix"):
        call_command("doctor", stdout=out, no_color=True)
    assert "FAULT broker: does not answer" in out.getvalue()
    assert "ok    storage: files are in the folder " in out.getvalue()


LEVELS = {
    "sqlite": ("PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"),
    "postgresql": ("SET synchronous_commit=off", "RESET synchronous_commit"),
}


@pytest.mark.django_db(transaction=True)
def test_the_doctor_finds_a_database_that_can_lose_commits() -> None:
    """On PostgreSQL, `fsync` is always off: the server is that of the tests."""
    lax, strict = LEVELS[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(lax)
        try:
            assert probes.LOSES_COMMITS in probes.PROBES["durability"]()
        finally:
            cursor.execute(strict)
    assert (probes.PROBES["durability"]() == "") == (connection.vendor == "sqlite")


def test_a_probe_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"broken": lambda: str(1 // 0)})
    (finding,) = examine()
    assert (finding.ok, "could not be checked: ZeroDivisionError" in finding.text) == (False, True)


def test_a_site_without_faults_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBES", {"all": lambda: ""})
    out = StringIO()
    call_command("doctor", stdout=out, no_color=True)
    assert out.getvalue() == "ok    all: ok\n"


# --- shell ----------------------------------------------------------------------------------------------------------


def test_the_shell_imports_models_tasks_and_requests() -> None:
    names = Shell().get_namespace(verbosity=0)
    assert {"Export", "Part", "Notification", "Order", "User", "request_export", "cancel_export", "notify"} <= set(
        names
    )
    assert {"plan_export", "render_part", "assemble_export", "sweep", "deliver_notification"} <= set(names)


def test_the_shell_can_request_an_export(ada: User) -> None:
    line = "request_export(User.objects.get(username='ada'), ExportRequest('errands', 'csv', period='all'))"
    call_command("shell", "-c", line, verbosity=0)
    assert Export.objects.get().owner == ada
