"""Tests of deaths at any statement and of concurrent work on a row: the export still ends correctly, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from pytest_django import Settings

from exports.formats import Format, OpenPart, RenderContext, Written
from exports.intake.requests import cancel_export, retry_export
from exports.models import Export, Part, Slot, UsageReport
from exports.pipeline import inline, window
from exports.states import PartState, State
from exports.upkeep import purge, schedules, usage_report
from notifications.delivery import deliver
from notifications.models import Delivery, Notification
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import (
    Errands,
    ask,
    committed,
    content_of,
    errands,
    export_in,
    files,
    part_in,
    registered,
    step,
    sweep_now,
    told,
    work,
)
from tests.support.kills import killed_after, stride, wait_and_work
from tests.support.notices import mail_of, tell

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
ROWS = 25


@pytest.fixture(autouse=True)
def _small_parts(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    errands(ROWS)
    with registered(Errands):
        yield


# --- killed at any statement ----------------------------------------------------------------------------------------


def at(step_of: str, owner: User) -> tuple[Export, int]:
    """Return an export before its last run of this step, and the primary key for the step's task."""
    export = ask(owner)
    if step_of == "plan_export":
        return export, export.pk
    step("plan_export", export.pk)
    *first, last = export.parts.order_by("index")
    for part in first:
        step("render_part", part.pk)
    if step_of == "render_part":
        return export, last.pk
    step("render_part", last.pk)
    return export, export.pk


@pytest.mark.parametrize("task", ["plan_export", "render_part", "assemble_export"])
def test_an_export_recovers_from_a_kill_at_any_moment_of_a_step(
    ada: User, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments, countdown = 0, None
    while countdown is None or countdown.spent:
        Export.objects.all().delete()
        Notification.objects.of(ada.pk).delete()
        export, pk = at(task, ada)
        hints.sent.clear()
        with killed_after(moments, monkeypatch) as countdown:
            step(task, pk)
        wait_and_work(export)
        assert (export.state, export.rows, told(ada)) == (State.READY, ROWS, ["export_ready"]), moments
        assert len(content_of(export).splitlines()) == 1 + ROWS
        assert set(export.parts.values_list("state", flat=True)) == {PartState.JOINED}
        moments += stride()
    assert moments > 5


@pytest.mark.parametrize("action", [cancel_export, retry_export])
def test_a_kill_at_any_moment_of_a_request_leaves_all_or_nothing(
    ada: User, action: Callable[[Export], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments, countdown = 0, None
    while countdown is None or countdown.spent:
        Export.objects.all().delete()
        export, _ = at("render_part", ada)
        if action is retry_export:
            cancel_export(export)
        with killed_after(moments, monkeypatch) as countdown, committed():
            action(export)
        export.refresh_from_db()
        if export.state == State.CANCELLED:
            assert not export.parts.filter(next_attempt_at__isnull=False).exists()
            with committed():
                retry_export(export)
        wait_and_work(export)
        assert (export.state, len(content_of(export).splitlines())) == (State.READY, 1 + ROWS)
        moments += stride()
    assert moments > 5


# --- any number of parts --------------------------------------------------------------------------------------------


class OneByOne(Format):
    """Counts, at each part, the earlier parts that are still open."""

    key, label, extension, content_type = "onebyone", "One by one", "txt", "text/plain"
    left_open = 0

    def write(self, rows: Any, out: BinaryIO, context: RenderContext) -> Written:
        return Written(sum(1 for _ in rows))

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        given: list[BinaryIO] = []
        for part in parts:
            type(self).left_open = max(self.left_open, sum(not before.closed for before in given))
            given.append(part.file)
        return Written(context.rows)


def test_assembling_holds_one_part_open_at_a_time(ada: User) -> None:
    """A thousand parts must not exceed the limit of open files, or every attempt would fail."""
    with registered(OneByOne):
        export = ask(ada, "onebyone")
        work(export)
    assert (export.state, OneByOne.left_open) == (State.READY, 0)


# --- the purge during the work --------------------------------------------------------------------------------------


def test_a_file_that_becomes_the_artifact_during_the_purge_is_kept(
    ada: User, artifact_dir: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only part's file becomes the artifact between two queries of the purge for references to it."""
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 100, "ORPHAN_AGE": timedelta(0)}
    export, pk = at("assemble_export", ada)
    looks: list[str] = []

    def assemble_between(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        found = execute(sql, *args)
        if "artifact" in sql and not looks:
            looks.append(sql)
            step("assemble_export", pk)
        return found

    with connection.execute_wrapper(assemble_between):
        purge.remove_orphans()
    export.refresh_from_db()
    assert (export.state, files()) == (State.READY, {export.artifact})


# --- locked rows ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer and no row locks")
def test_the_window_does_not_wait_for_a_locked_part(ada: User) -> None:
    """Waiting for one row while holding others could deadlock with a cancelling owner."""
    export = export_in("rendering", ada)
    held, free = part_in("waiting", export, 0), part_in("waiting", export, 1)
    done = threading.Event()

    def fill() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '5s'")
        try:
            window.fill_window()
        finally:
            connections.close_all()
        done.set()

    with transaction.atomic():
        Part.objects.select_for_update().get(pk=held.pk)
        chooser = threading.Thread(target=fill)
        chooser.start()
        in_time = done.wait(3)
    chooser.join()
    assert in_time
    assert hints.pks_of("exports.tasks.render_part") == [free.pk]


# --- in one process -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Export, Part])
def test_an_inline_export_fails_when_its_attempts_are_used_up(
    ada: User, model: type[Export] | type[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be no worker whose sweep parks the row; the command would then wait forever."""
    export = ask(ada)
    if model is Part:
        step("plan_export", export.pk)
    row = Export.objects.get() if model is Export else Part.objects.order_by("index")[0]
    for _ in range(5):
        assert model.objects.claim(row.pk) is not None
        lapse(row)

    def give_up(seconds: float) -> None:
        raise TimeoutError("it waits for a worker")

    monkeypatch.setattr("time.sleep", give_up)
    inline.run_inline(export, lambda _: None)
    assert (export.state, export.error_code, told(ada)) == (State.FAILED, "worker_died", ["export_failed"])


# --- scheduled work -------------------------------------------------------------------------------------------------

WEEK = datetime(2026, 7, 6, tzinfo=UTC)


def recover(row: Slot | UsageReport | Delivery) -> None:
    """Sweep after a death, and run the tasks of this row's hints."""
    for _ in range(4):
        lapse(row)
        make_due(row)
        hints.sent.clear()
        sweep_now()
        for task in [task for task, pks in hints.sent if task == row.hint() and row.pk in pks]:
            with committed():
                SCHEDULED[task](row.pk)
        row.refresh_from_db()


SCHEDULED: dict[str, Callable[[int], Any]] = {
    "exports.tasks.run_slot": schedules.run_slot,
    "exports.tasks.advance_report": usage_report.send,  # the last task of the chain
    "notifications.tasks.deliver_notification": deliver,
}


def slot_to_run(boss: User) -> Slot:
    return Slot.objects.create(schedule="exports.tasks.purge_expired_exports", slot=WEEK)


def report_to_send(boss: User) -> UsageReport:
    facts = {
        "figures": usage_report.figures_of(WEEK, WEEK),
        "artifact": "reports/x.pdf",
        "size": 1,
        "sha256": "ab" * 32,
    }
    return UsageReport.objects.create(week="2026-W28", start=WEEK, end=WEEK, stage="send", **facts)


def mail_to_deliver(boss: User) -> Delivery:
    return mail_of(tell(boss))


@pytest.mark.parametrize(
    ("make", "column", "end", "times"),
    [(slot_to_run, "state", "done", 0), (report_to_send, "stage", "sent", 1), (mail_to_deliver, "state", "sent", 1)],
    ids=["slot", "report", "mail"],
)
def test_scheduled_work_recovers_from_a_kill_at_any_moment(
    make: Callable[[User], Slot | UsageReport | Delivery],
    column: str,
    end: str,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boss = User.objects.create_superuser("boss", "boss@example.com")
    moments, countdown = 0, None
    while countdown is None or countdown.spent:
        for model in (Slot, UsageReport, Notification):
            model._default_manager.all().delete()
        row = make(boss)
        with killed_after(moments, monkeypatch) as countdown, committed():
            SCHEDULED[row.hint()](row.pk)
        recover(row)
        assert (getattr(row, column), Notification.objects.of(boss.pk).count()) == (end, times), moments
        moments += stride()
    assert moments > 4
