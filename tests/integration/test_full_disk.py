"""Full disks of the scratch folder and of the artifacts: the export waits, cleans up and recovers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from exports.formats import Framed, RenderContext, Row, Written
from exports.intake.requests import retry_export
from exports.models import Export, Part
from exports.states import PartState, State
from tests.support.disks import MIB, small_disk
from tests.support.errands import make_due
from tests.support.exports import (
    Errands,
    ask,
    committed,
    errands,
    files,
    registered,
    sweep_now,
    told,
    work,
)

pytestmark = pytest.mark.django_db
SIZE = 20
"""MiB of a part. The finished artifact is twice as large."""


class Heavy(Framed):
    """A large file for a few rows."""

    key = "heavy"
    label = "Heavy"
    extension = "bin"
    content_type = "application/octet-stream"

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        count = sum(1 for _ in rows)
        out.writelines(os.urandom(MIB) for _ in range(SIZE))
        return Written(count)

    def tail(self, context: RenderContext) -> bytes:
        return os.urandom(SIZE * MIB)


@pytest.fixture(autouse=True)
def _errands(artifact_dir: Path, settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"MAX_ATTEMPTS": 3, "ROWS_PER_PART": 100}
    errands(25)
    with registered(Errands), registered(Heavy):
        yield


def turn(export: Export) -> None:
    """Act as the workers, after all waiting times."""
    make_due(export, *export.parts.all())
    sweep_now()
    work(export)


def left(*folders: Path) -> set[Path]:
    """Return the files on disk, whatever the storage reports."""
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("where", "room"),
    [("scratch", SIZE // 2), ("artifacts", SIZE // 2), ("artifacts", SIZE * 3 // 2)],
    ids=["writing a part", "storing a part", "storing the whole"],
)
def test_an_export_waits_for_a_full_disk(ada: User, tmp_path: Path, where: str, room: int) -> None:
    folders = [tmp_path / "artifacts", tmp_path / "scratch"]
    with small_disk(tmp_path / where, room) as make_room:
        export = ask(ada, "heavy")
        work(export)
        turn(export)
        row: Export | Part = export if export.state == State.ASSEMBLING else export.parts.get()
        assert (export.is_open, row.failures, told(ada)) == (True, 2, [])
        kept = {tmp_path / "artifacts" / key for key in Part.objects.values_list("artifact", flat=True) if key}
        assert left(*folders) == kept
        make_room()
        turn(export)
        assert (export.state, export.size, told(ada)) == (State.READY, 2 * SIZE * MIB, ["export_ready"])
        assert left(*folders) == {tmp_path / "artifacts" / export.artifact}


def test_a_disk_that_stays_full_fails_the_export_with_a_message(ada: User, tmp_path: Path) -> None:
    with small_disk(tmp_path / "artifacts", SIZE // 2) as make_room:
        export = ask(ada, "heavy")
        work(export)
        for _ in range(3):
            turn(export)
        assert (export.state, export.error_code, told(ada)) == (State.FAILED, "disk_full", ["export_failed"])
        assert "no room left" in export.error_message
        assert set(export.parts.values_list("state", flat=True)) == {PartState.FAILED}
        assert left(tmp_path / "artifacts", tmp_path / "scratch") == set()
        make_room()
        with committed():
            retry_export(export)
        work(export)
        assert (export.state, files()) == (State.READY, {export.artifact})
        assert told(ada) == ["export_failed", "export_ready"]
