"""Storage failures at any step, in a folder and in S3: the export succeeds after recovery, and cleans up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from exports.conf import export_settings
from exports.intake.requests import retry_export
from exports.models import Export, Part
from exports.states import PartState, State
from exports.storage import artifacts
from exports.upkeep import purge
from tests.support.errands import make_due
from tests.support.exports import (
    Errands,
    ask,
    committed,
    content_of,
    errands,
    files,
    registered,
    step,
    sweep_now,
    told,
    work,
)
from tests.support.storage_faults import arm, happened, heal
from tests.support.storages import faulty, install

pytestmark = pytest.mark.django_db
ROWS = 25


@pytest.fixture(autouse=True)
def _errands(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10, "MAX_ATTEMPTS": 3}
    errands(ROWS)
    with registered(Errands):
        yield


@pytest.fixture(params=["artifact_dir", "bucket"])
def faults(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that configures the faults, for a folder and for a bucket."""
    request.getfixturevalue(request.param)
    file = tmp_path / "faults.json"
    monkeypatch.setenv("FAULTY_STORAGE", str(file))
    settings.STORAGES = settings.STORAGES | {"exports": faulty(settings.STORAGES["exports"])}
    install(monkeypatch.setattr)
    return file


def run_to_end(export: Export, turns: int = 8) -> None:
    """Act as the workers, and skip all waiting times, until the export is closed or after `turns`."""
    for _ in range(turns):
        work(export)
        make_due(export, *export.parts.all())
        sweep_now()
        if not export.is_open:
            return


def purge_now(settings: Settings) -> dict[str, Any]:
    """Run the nightly purge as if every file were old."""
    settings.CARRYALL = settings.CARRYALL | {"ORPHAN_AGE": timedelta(seconds=-2)}
    with committed():
        return purge.purge()


def assert_succeeded(export: Export, settings: Settings, *messages: str) -> None:
    """Check for one artifact with the right bytes, and one notification. After the purge no other file is left."""
    export.refresh_from_db()
    content = content_of(export)
    assert (export.state, export.rows, len(content.splitlines())) == (State.READY, ROWS, ROWS + 1)
    assert (export.size, export.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert told(export.owner) == list(messages or ["export_ready"])
    assert scratch() == []
    purge_now(settings)
    assert files() == {export.artifact}
    assert artifacts.storage().drop_unfinished(export.requested_at + timedelta(days=1)) == 0
    assert content_of(export) == content


def scratch() -> list[Path]:
    folder = export_settings().scratch_dir
    return sorted(folder.iterdir()) if folder.exists() else []


PART, WHOLE = "/part-", "/export-"
WRITING: list[dict[str, Any]] = [
    {"full": True},
    {"fail_after": 7},
    {"lost": True},
    {"lie": True},
    {"read": True},
    {"scratch_full": True, "only": ""},
]


@pytest.mark.parametrize("fault", WRITING, ids=lambda fault: next(iter(fault)))
@pytest.mark.parametrize("only", [PART, WHOLE], ids=["a part", "the whole"])
def test_failed_writes_are_retried(
    ada: User, faults: Path, settings: Settings, fault: dict[str, Any], only: str
) -> None:
    export = ask(ada)
    step("plan_export", export.pk)
    if only == WHOLE:
        for part in export.parts.all():
            step("render_part", part.pk)
    arm(faults, **({"only": only, "times": 2} | fault))
    run_to_end(export)
    assert happened(faults) == 2
    assert_succeeded(export, settings)


@pytest.mark.parametrize("kind", ["read", "scratch_full"])
def test_failed_reads_of_parts_are_retried(ada: User, faults: Path, settings: Settings, kind: str) -> None:
    export = ask(ada)
    step("plan_export", export.pk)
    for part in export.parts.all():
        step("render_part", part.pk)
    arm(faults, **{kind: True, "times": 2})
    run_to_end(export)
    assert happened(faults) == 2
    assert_succeeded(export, settings)


def test_files_that_cannot_be_deleted_are_purged_later(ada: User, faults: Path, settings: Settings) -> None:
    arm(faults, delete=True)
    export = ask(ada)
    run_to_end(export)
    assert len(files()) == 4
    heal(faults)
    assert_succeeded(export, settings)


def test_a_slow_store_is_waited_for(ada: User, faults: Path, settings: Settings) -> None:
    arm(faults, slow=0.2, times=2)
    export = ask(ada)
    run_to_end(export)
    assert_succeeded(export, settings)


REASONS = {"full": "disk_full", "fail_after": "storage_failed", "lie": "mismatch", "read": "storage_failed"}


@pytest.mark.parametrize(("kind", "code"), REASONS.items())
@pytest.mark.parametrize("only", [PART, WHOLE], ids=["a part", "the whole"])
def test_a_lasting_fault_fails_the_export_and_allows_a_retry(
    ada: User, faults: Path, settings: Settings, kind: str, code: str, only: str
) -> None:
    arm(faults, **{kind: 7, "only": only})
    export = ask(ada)
    run_to_end(export)
    assert (export.state, export.error_code, told(ada)) == (State.FAILED, code, ["export_failed"])
    assert export.error_message.endswith(".")
    assert scratch() == []
    kept = set(Part.objects.filter(state=PartState.DONE).values_list("artifact", flat=True))
    purge_now(settings)
    assert files() == kept

    heal(faults)
    with committed():
        retry_export(export)
    run_to_end(export)
    assert_succeeded(export, settings, "export_failed", "export_ready")


def test_a_file_that_reads_back_wrong_is_removed_at_once(ada: User, faults: Path) -> None:
    """The purge is not needed."""
    arm(faults, lie=True, only=WHOLE, times=1)
    export = ask(ada)
    work(export)
    assert export.state == State.ASSEMBLING
    assert files() == set(export.parts.values_list("artifact", flat=True))


def test_files_of_lost_attempts_are_removed_when_the_export_is_ready(ada: User, faults: Path) -> None:
    arm(faults, lost=True, only=PART, times=2)
    export = ask(ada)
    run_to_end(export)
    assert (export.state, files()) == (State.READY, {export.artifact})
