"""Tests of faults in the pipeline: the error names the cause, the owner is notified once, no wrong file is READY."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError, connection
from django.utils import timezone
from psycopg.pq import TransactionStatus
from pytest_django import Settings

from durable import retries
from durable.clock import database_now
from durable.lease import Lease
from exports.datasets import RowStream
from exports.formats import Format, Framed, OpenPart, RenderContext, Row, Written
from exports.formats.values import copying_of
from exports.intake.requests import cancel_export, retry_export
from exports.models import Export, Part
from exports.pipeline import attempt
from exports.pipeline.failure import park
from exports.states import PartState, State
from notifications.models import Notification
from tests.support import hints
from tests.support.errands import lapse, make_due
from tests.support.exports import (
    Errands,
    ask,
    committed,
    content_of,
    errands,
    files,
    registered,
    run,
    step,
    sweep_now,
    tapped,
    told,
    work,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir", "small_parts")]
FREE = (TransactionStatus.IDLE, TransactionStatus.INTRANS)


@pytest.fixture
def small_parts(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    errands(25)
    with registered(Errands):
        yield


class Disturbed(Errands):
    """Calls `happen` once, before it yields row 5."""

    happen: Callable[[], Any]
    happened = False

    def source(self, *args: Any) -> RowStream:
        return tapped(super().source(*args), self.tap)

    def tap(self, number: int) -> None:
        if number == 5 and not self.happened:
            type(self).happened = True
            type(self).happen()


def disturbed_by(happen: Callable[[], Any]) -> type[Disturbed]:
    return type("Disturbed", (Disturbed,), {"happen": staticmethod(happen), "__module__": __name__})


def rendering(owner: User) -> tuple[Export, list[Part]]:
    """Plan an export, and return it with its three parts."""
    export = ask(owner)
    step("plan_export", export.pk)
    export.refresh_from_db()
    return export, list(export.parts.order_by("index"))


def assert_failed(export: Export, code: str) -> None:
    """Assert that the export failed with this error and a message, one notification, and no open parts."""
    export.refresh_from_db()
    assert (export.state, export.error_code, export.artifact) == (State.FAILED, code, "")
    assert export.error_message.endswith(".")
    assert told(export.owner) == ["export_failed"]
    notification = Notification.objects.get()
    assert notification.context["reason"] == export.error_message
    assert not Part.objects.filter(export=export, next_attempt_at__isnull=False).exists()


# --- errors in a dataset or a format --------------------------------------------------------------------------------


class Faulty(Errands):
    """A dataset whose code raises while its rows are read."""

    def source(self, *args: Any) -> RowStream:
        return tapped(super().source(*args), self.tap)

    def tap(self, number: int) -> None:
        if number == 3:
            raise ZeroDivisionError("secret of the server")


class FaultyQuery(Errands):
    def key_ranges(self, *args: Any) -> Any:
        raise ZeroDivisionError


class FaultyPermission(Errands):
    calls = 0

    def permitted(self, user: AbstractBaseUser) -> bool:
        type(self).calls += 1
        return self.calls == 1 or bool(1 // 0)


@pytest.mark.parametrize("kind", [Faulty, FaultyQuery, FaultyPermission])
def test_a_dataset_that_raises_fails_the_export(
    ada: User, kind: type[Errands], caplog: pytest.LogCaptureFixture
) -> None:
    with registered(kind):
        export = run(ada)
    assert_failed(export, "dataset_failed")
    assert "secret" not in export.error_message
    assert "ZeroDivisionError" in caplog.text


class FaultyFormat(Framed):
    key, label, extension, content_type = "faulty", "Faulty", "txt", "text/plain"

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        next(iter(rows))
        raise ZeroDivisionError("secret of the server")


class FaultyJoin(FaultyFormat):
    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        return Written(sum(1 for _ in rows))

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        raise ZeroDivisionError("secret of the server")


@pytest.mark.parametrize("kind", [FaultyFormat, FaultyJoin])
def test_a_format_that_raises_fails_the_export(ada: User, kind: type[Format]) -> None:
    with registered(kind):
        export = run(ada, "faulty")
    assert_failed(export, "format_failed")
    assert "secret" not in export.error_message


def test_a_format_that_is_no_longer_registered_fails_the_export(ada: User) -> None:
    with registered(FaultyFormat):
        export = ask(ada, "faulty")
    work(export)
    assert_failed(export, "unknown_format")


def test_an_export_that_takes_too_long_fails(ada: User) -> None:
    def slow() -> None:
        raise SoftTimeLimitExceeded

    with registered(disturbed_by(slow)):
        export = run(ada)
    assert_failed(export, "too_slow")


# --- temporary faults -----------------------------------------------------------------------------------------------


class FullDisk:
    """A storage that accepts no files while `full`."""

    full = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        save = FileSystemStorage.save

        def refuse(storage: FileSystemStorage, *args: Any, **kwargs: Any) -> str:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return save(storage, *args, **kwargs)

        monkeypatch.setattr(FileSystemStorage, "save", refuse)


def test_a_part_is_retried_after_a_full_disk(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    export = run(ada)
    assert export.state == State.RENDERING
    for part in export.parts.all():
        assert (part.state, part.error_code, part.attempt, part.published_at) == (
            PartState.WAITING,
            "disk_full",
            1,
            None,
        )
        assert part.next_attempt_at is not None
        assert timedelta(seconds=55) < part.next_attempt_at - timezone.now() < timedelta(seconds=75)
    assert (sweep_now(), told(ada)) == ({}, [])
    disk.full = False
    make_due(*export.parts.all())
    sweep_now()
    work(export)
    assert (export.state, export.rows, told(ada)) == (State.READY, 25, ["export_ready"])
    assert set(Part.objects.values_list("error_code", flat=True)) == {""}


def test_waits_grow_until_the_last_attempt(ada: User, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 100, "MAX_ATTEMPTS": 3}
    settings.CARRYALL = settings.CARRYALL | {"BACKOFF_JITTER": 0.0}
    FullDisk(monkeypatch)
    export = run(ada)
    waits = []
    while (part := export.parts.get()).next_attempt_at is not None:
        waits.append(round((part.next_attempt_at - timezone.now()).total_seconds(), -1))
        make_due(part)
        step("render_part", part.pk)
    assert waits == [60, 120]
    assert_failed(export, "disk_full")
    assert export.parts.get().attempt == 3


def test_a_disk_that_fills_up_while_a_part_is_written(ada: User) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Writing(FaultyFormat):
        def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
            full()
            return Written(0)

    with registered(Writing):
        export = run(ada, "faulty")
    assert set(export.parts.values_list("error_code", flat=True)) == {"disk_full"}


def test_an_interrupted_part_leaves_the_connection_usable(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the write at its end would wait forever for the unread rows."""
    end = attempt._retry_or_fail

    def check_and_end(*args: Any) -> None:
        assert connection.vendor != "postgresql" or connection.connection.info.transaction_status in FREE
        end(*args)

    class Writing(FaultyFormat):
        def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
            copying = copying_of(rows)
            lists = iter(rows) if copying is None else copying.run("r.c0")
            next(lists)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attempt, "_retry_or_fail", check_and_end)
    with registered(Writing):
        export = run(ada, "faulty")
    assert set(export.parts.values_list("error_code", flat=True)) == {"disk_full"}


def test_a_part_is_retried_after_a_database_outage(ada: User) -> None:
    def away() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with registered(disturbed_by(away)):
        export = run(ada)
        part = export.parts.filter(state=PartState.WAITING).get()
        assert part.error_code == "database_away"
        assert part.next_attempt_at is not None
        assert (part.next_attempt_at - database_now(Part)).total_seconds() < 10, "the retry is too late for an outage"
        make_due(*export.parts.all())
        sweep_now()
        work(export)
    assert export.state == State.READY


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("last", [False, True], ids=["retry", "last attempt"])
def test_the_end_of_an_attempt_waits_for_the_database(
    ada: User, settings: Settings, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    """Otherwise a live process would hold the row until its lease expires."""
    name = "park" if last else "retry"
    end, tries = getattr(Lease, name), iter([OperationalError("away"), None])

    def flaky(self: Lease[Part], *args: Any, **fields: Any) -> None:
        if error := next(tries, None):
            raise error
        end(self, *args, **fields)

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    settings.CARRYALL = settings.CARRYALL | {"MAX_ATTEMPTS": 1 if last else 5}
    monkeypatch.setattr(Lease, name, flaky)
    monkeypatch.setattr(retries, "PAUSES", (0,))
    with registered(disturbed_by(full)):
        export = run(ada)
    assert next(tries, "used") == "used"
    assert (export.state == State.FAILED) == last
    assert not export.parts.filter(lease_until__isnull=False).exists()


# --- damaged files --------------------------------------------------------------------------------------------------


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_a_storage_that_loses_bytes_never_produces_a_file(
    ada: User, monkeypatch: pytest.MonkeyPatch, artifact_dir: Path
) -> None:
    save = FileSystemStorage.save

    def lose(storage: FileSystemStorage, *args: Any, **kwargs: Any) -> str:
        key = save(storage, *args, **kwargs)
        _shorten(Path(storage.path(key)))
        return key

    monkeypatch.setattr(FileSystemStorage, "save", lose)
    export = run(ada)
    for _ in range(4):
        make_due(*export.parts.all())
        sweep_now()
        work(export)
    assert_failed(export, "mismatch")


DAMAGES = pytest.mark.parametrize("damage", [_shorten, Path.unlink], ids=["truncated", "deleted"])


@DAMAGES
@pytest.mark.parametrize("rows", [10, 100], ids=["three parts", "one part"])
def test_a_part_whose_file_is_damaged_is_written_again(
    ada: User, artifact_dir: Path, settings: Settings, rows: int, damage: Callable[[Path], None]
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": rows}
    export, parts = rendering(ada)
    for part in parts:
        step("render_part", part.pk)
    damage(artifact_dir / export.parts.order_by("index")[0].artifact)
    hints.sent.clear()
    step("assemble_export", export.pk)
    export.refresh_from_db()
    assert (export.state, hints.pks_of("exports.tasks.render_small_part")) == (State.RENDERING, [parts[0].pk])
    work(export)
    assert (export.state, export.rows, len(content_of(export).splitlines())) == (State.READY, 25, 26)
    assert [part.attempt for part in export.parts.order_by("index")] == [3, *[1] * (len(parts) - 1)]


@DAMAGES
def test_a_part_that_is_damaged_every_time_fails_the_export(
    ada: User, artifact_dir: Path, settings: Settings, damage: Callable[[Path], None]
) -> None:
    """Its attempts are counted, so the export ends. "Try again" writes all parts again."""
    export, parts = rendering(ada)
    for _ in range(10):  # twice as often as necessary
        for part in parts:
            step("render_part", part.pk)
        if first := export.parts.order_by("index")[0].artifact:
            with suppress(FileNotFoundError):
                damage(artifact_dir / first)
        step("assemble_export", export.pk)
        export.refresh_from_db()
        make_due(export)
    assert_failed(export, "spoilt_part")
    assert export.parts.order_by("index")[0].attempt <= 5

    with committed():
        retry_export(export)
    work(export)
    assert (export.state, export.rows, len(content_of(export).splitlines())) == (State.READY, 25, 26)


# --- deleted owners, lost permissions, cancelling -------------------------------------------------------------------


def test_deleting_the_owner_deletes_a_running_export(ada: User) -> None:
    with registered(disturbed_by(lambda: User.objects.get(pk=ada.pk).delete())):
        export = ask(ada)
        step("plan_export", export.pk)
        for pk in hints.pks_of("exports.tasks.render_small_part"):
            step("render_part", pk)
    assert not Export.objects.exists()
    assert not Part.objects.exists()
    assert not Notification.objects.exists()


@pytest.mark.parametrize("task", ["plan_export", "render_part", "assemble_export"])
def test_messages_for_deleted_rows_do_nothing(task: str) -> None:
    step(task, 4_711)


def test_an_owner_deactivated_during_the_export_gets_no_file(ada: User) -> None:
    export, parts = rendering(ada)
    step("render_part", parts[0].pk)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    step("render_part", parts[1].pk)
    assert_failed(export, "no_permission")
    assert parts[2].state == PartState.WAITING
    parts[2].refresh_from_db()
    assert parts[2].state == PartState.CANCELLED


class Forbidden(Errands):
    def permitted(self, user: AbstractBaseUser) -> bool:
        return False


@pytest.mark.parametrize("task", ["plan_export", "render_part", "assemble_export"])
def test_permission_is_checked_at_each_step(ada: User, task: str, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 100}
    export = ask(ada)
    for name in ("plan_export", "render_part", "assemble_export"):
        pk = export.parts.get().pk if name == "render_part" else export.pk
        if name == task:
            with registered(Forbidden):
                step(name, pk)
            break
        step(name, pk)
    assert_failed(export, "no_permission")


def test_cancelling_stops_a_running_part_without_warnings(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    def cancel() -> None:
        cancel_export(Export.objects.get())

    with registered(disturbed_by(cancel)):
        export = run(ada)
    assert (export.state, export.artifact, told(ada)) == (State.CANCELLED, "", [])
    assert set(export.parts.values_list("state", flat=True)) == {PartState.CANCELLED}
    assert not export.parts.exclude(artifact="").exists()
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


# --- zombies and dead workers ---------------------------------------------------------------------------------------


def test_a_zombie_that_ends_after_the_takeover_changes_nothing(ada: User, settings: Settings) -> None:
    """Another worker takes over its part and finishes it while the zombie still runs."""
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 100}
    after: dict[str, Any] = {}

    def take_over() -> None:
        part = Part.objects.get()
        lapse(part)
        step("render_part", part.pk)
        after.update(Part.objects.values().get())

    with registered(disturbed_by(take_over)):
        export, (part,) = rendering(ada)
        step("render_part", part.pk)
    assert after["attempt"] == 2
    assert Part.objects.values().get() == after
    work(export)
    assert (export.state, export.rows, told(ada)) == (State.READY, 25, ["export_ready"])
    assert len(content_of(export).splitlines()) == 26
    assert export.artifact in files()


@pytest.mark.parametrize("state", ["queued", "assembling"])
def test_an_export_whose_last_attempt_dies_is_failed(ada: User, state: str) -> None:
    export, parts = rendering(ada)
    if state == "assembling":
        for part in parts:
            step("render_part", part.pk)
    else:
        Part.objects.all().delete()
        Export.objects.update(state="queued", next_attempt_at=timezone.now())
    export.refresh_from_db()
    for _ in range(5 if state == "assembling" else 4):
        assert Export.objects.claim(export.pk) is not None
        lapse(export)
        assert told(ada) == []
    assert sweep_now() == {"export: parked": 1}
    assert_failed(export, "worker_died")
    assert sweep_now() == {}


def test_a_part_whose_last_attempt_dies_fails_the_export(ada: User) -> None:
    export, parts = rendering(ada)
    for _ in range(5):
        assert Part.objects.claim(parts[1].pk) is not None
        lapse(parts[1])
    lapse(*parts)
    assert sweep_now()["part: parked"] == 1
    assert_failed(export, "worker_died")
    assert [part.state for part in export.parts.order_by("index")] == ["cancelled", "failed", "cancelled"]


def test_a_part_that_finishes_just_before_it_is_parked_is_kept(ada: User) -> None:
    """The sweep has already chosen it when its slow worker finishes."""
    export, parts = rendering(ada)
    Part.objects.filter(pk=parts[0].pk).update(attempt=5, lease_until=timezone.now() - timedelta(minutes=1))
    chosen = Part.objects.exhausted().get()
    Part.objects.filter(pk=parts[0].pk).update(
        state="done", next_attempt_at=None, lease_until=None, artifact="x", sha256="x", size=1
    )
    park(chosen)
    export.refresh_from_db()
    assert (export.state, told(ada)) == (State.RENDERING, [])


def test_the_sweep_continues_after_a_death_between_the_last_part_and_the_fan_in(ada: User) -> None:
    """The worker wrote its part and died before `finish_rendering`."""
    export, parts = rendering(ada)
    for part in parts:
        lease = Part.objects.claim(part.pk)
        assert lease is not None
        lease.finish(state="done", artifact=f"{part.pk}", sha256="x", size=1)
    assert sweep_now() == {"exports to assemble": 1}
    export.refresh_from_db()
    assert export.state == State.ASSEMBLING


def test_a_lost_lease_stops_a_part_between_its_rows(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"PROGRESS_EVERY": 0, "ROWS_PER_PART": 10_000}
    errands(2_000)
    given: list[int] = []

    class Long(Errands):
        def source(self, *args: Any) -> RowStream:
            return tapped(super().source(*args), self.tap)

        def tap(self, number: int) -> None:
            given.append(number)
            if number == 300:
                Part.objects.update(attempt=2)

    with registered(Long):
        export = ask(ada, "jsonl")
        step("plan_export", export.pk)
        step("render_part", export.parts.get().pk)
    assert len(given) < 1_000
    assert export.parts.get().state == PartState.WAITING
