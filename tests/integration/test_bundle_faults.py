"""Faults while a bundle is assembled (kill, cancel, lost lease, damaged part): either all volumes appear, or none."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from exports.conf import export_settings
from exports.formats import Written
from exports.formats.zip import format as zips
from exports.formats.zip.entries import Segmented
from exports.intake.requests import cancel_export, retry_export
from exports.models import Export, Volume
from exports.states import PartState, State
from exports.storage import artifacts
from exports.upkeep import purge
from notifications.models import Notification
from tests.support import hints
from tests.support.bundles import Noise, unpacked
from tests.support.errands import lapse, make_due
from tests.support.exports import Errands, ask, committed, errands, files, registered, step, told, work
from tests.support.kills import killed_after, stride, wait_and_work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
ROWS, PARTS = 200, 2
LIMIT = 14_000


@pytest.fixture(autouse=True)
def _data(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 100, "ORPHAN_AGE": timedelta(0)}
    monkeypatch.setitem(zips.SIZES, "50mb", LIMIT)
    errands(ROWS)
    with registered(Errands), registered(Noise):
        yield


@pytest.fixture
def due(ada: User) -> Export:
    return assembling(ada)


def assembling(owner: User) -> Export:
    """Return a bundle whose parts are all done. The next step assembles it into three volumes."""
    export = ask(owner, "zip", dataset=["noise"], inside=["csv"], options={"volume": "50mb"})
    step("plan_export", export.pk)
    for part in export.parts.order_by("index"):
        step("render_part", part.pk)
    hints.sent.clear()
    export.refresh_from_db()
    assert (export.state, export.parts.count()) == (State.ASSEMBLING, PARTS)
    return export


def parts_of(export: Export) -> set[str]:
    """Return the storage keys of its finished parts."""
    return set(export.parts.filter(state=PartState.DONE).values_list("artifact", flat=True))


def is_ready(export: Export, attempts: tuple[int, ...] = (1,) * PARTS) -> None:
    """Assert that it is complete, one notification was sent, and there are no other files."""
    export.refresh_from_db()
    assert (export.state, export.rows, told(export.owner)) == (State.READY, ROWS, ["export_ready"])
    found = unpacked(export)
    found.check()
    assert sum(file["rows"] for file in found.listed()) == ROWS
    assert len(found.volumes) == 3
    assert tuple(export.parts.order_by("index").values_list("attempt", flat=True)) == attempts
    purge.remove_orphans()
    assert files() == {file.artifact for file in export.files}


def nothing_is_seen(export: Export) -> None:
    export.refresh_from_db()
    assert (export.artifact, export.volumes.count(), told(export.owner)) == ("", 0, [])
    assert files() == parts_of(export)
    assert len(parts_of(export)) == PARTS
    assert not list(export_settings().scratch_dir.iterdir())


def spoil(export: Export, artifact_dir: Path) -> None:
    """Overwrite the end of its second part."""
    path = artifact_dir / export.parts.order_by("index")[1].artifact
    path.write_bytes(path.read_bytes()[:-2] + b"??")


@pytest.mark.slow
@pytest.mark.parametrize(("spoilt", "fewest"), [(False, 15), (True, 5)], ids=["whole parts", "a spoilt part"])
def test_assembly_recovers_from_a_kill_at_any_moment(
    ada: User, artifact_dir: Path, monkeypatch: pytest.MonkeyPatch, spoilt: bool, fewest: int
) -> None:
    moments, countdown = 0, None
    while countdown is None or countdown.spent:
        with committed():
            Export.objects.all().delete()
        Notification.objects.of(ada.pk).delete()
        export = assembling(ada)
        if spoilt:
            spoil(export, artifact_dir)
        with killed_after(moments, monkeypatch) as countdown:
            step("assemble_export", export.pk)
        wait_and_work(export)
        is_ready(export, attempts=(1, 3) if spoilt else (1, 1))
        moments += stride()
    assert moments > fewest


class Stores:
    """Replacement of `artifacts.store` that calls a function before the n-th file is stored."""

    def __init__(self, number: int, happen: Callable[[], Any]) -> None:
        self.left, self._happen, self._store = number, happen, artifacts.store

    def __call__(self, *args: Any) -> artifacts.Stored:
        self.left -= 1
        if self.left == 0:
            self._happen()
        return self._store(*args)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failed_assembly_leaves_no_volume_and_the_next_one_reuses_the_parts(
    due: Export, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "store", Stores(number, disk_full))
        step("assemble_export", due.pk)
    assert Export.objects.get().state == State.ASSEMBLING
    nothing_is_seen(due)
    make_due(due)
    step("assemble_export", due.pk)
    is_ready(due)


@pytest.mark.parametrize("number", [1, 3])
def test_a_cancel_during_assembly_logs_no_warning(
    due: Export, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "store", Stores(number, lambda: cancel_export(Export.objects.get())))
        step("assemble_export", due.pk)
    due.refresh_from_db()
    assert (due.state, due.error_code) == (State.CANCELLED, "")
    nothing_is_seen(due)
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    with committed():
        retry_export(due)
    work(due)
    is_ready(due)


@pytest.mark.parametrize("number", [1, 3])
def test_an_attempt_that_lost_its_lease_changes_nothing(
    due: Export, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt is slow to store a volume. The second takes over and finishes undisturbed."""

    def overtaken() -> None:
        monkeypatch.undo()
        monkeypatch.setitem(zips.SIZES, "50mb", LIMIT)
        lapse(due)
        make_due(due)
        step("assemble_export", due.pk)

    monkeypatch.setattr(artifacts, "store", Stores(number, overtaken))
    step("assemble_export", due.pk)
    due.refresh_from_db()
    assert files() == {file.artifact for file in due.files}
    is_ready(due)


def test_a_damaged_part_makes_no_bundle_and_is_written_again(due: Export, artifact_dir: Path) -> None:
    spoil(due, artifact_dir)
    step("assemble_export", due.pk)
    due.refresh_from_db()
    assert (due.state, due.volumes.count(), told(due.owner)) == (State.RENDERING, 0, [])
    assert files() == parts_of(due)
    work(due)
    is_ready(due, attempts=(1, 3))


def test_rows_that_do_not_add_up_make_no_bundle(due: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Segmented, "write", lambda *_: Written(1))
    step("assemble_export", due.pk)
    nothing_is_seen(due)


def test_a_bundle_is_recorded_in_one_transaction(due: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the volumes' rows cannot be written, the export has no file."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patched:
        patched.setattr(Volume.objects, "bulk_create", refuse)
        step("assemble_export", due.pk)
    due.refresh_from_db()
    assert (due.artifact, due.volumes.count()) == ("", 0)
    assert due.state == State.FAILED
