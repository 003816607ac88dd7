"""Tests of the worker side, step by step: plan, render, assemble, and notify the owner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from durable import clock
from exports.datasets import Column, ColumnType, RowStream
from exports.formats import context
from exports.models import Export, Part
from exports.states import PartState, State
from tests.support import hints
from tests.support.exports import (
    PLACED,
    Errands,
    ask,
    content_of,
    errands,
    export_in,
    files,
    part_in,
    registered,
    run,
    step,
    tapped,
    told,
    work,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir", "small_parts")]


@pytest.fixture
def small_parts(settings: Settings) -> Iterator[None]:
    """Register the errands dataset, with ten rows per part."""
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    with registered(Errands):
        yield


# --- plan -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (35, [10, 10, 10, 5])])
def test_parts_cover_the_rows(ada: User, rows: int, sizes: list[int]) -> None:
    keys = errands(rows)
    export = ask(ada)
    step("plan_export", export.pk)
    export.refresh_from_db()
    parts = list(export.parts.order_by("index"))
    assert [part.rows for part in parts] == sizes
    assert (export.state, export.rows, sum(sizes)) == (State.RENDERING, rows, rows)
    assert (parts[0].first_key, parts[-1].last_key) == (str(keys[0]), str(keys[-1]))
    assert export.started_at is not None


@pytest.mark.parametrize(("small_rows", "task"), [(49, "render_part"), (50, "render_small_part")])
def test_planning_fills_the_window(ada: User, settings: Settings, small_rows: int, task: str) -> None:
    settings.CARRYALL = settings.CARRYALL | {"WINDOW": 2, "SMALL_ROWS": small_rows}
    errands(50)
    export = ask(ada)
    hints.sent.clear()
    step("plan_export", export.pk)
    first = list(export.parts.order_by("index").values_list("pk", flat=True)[:2])
    assert hints.sent == [(f"exports.tasks.{task}", tuple(first))]


def test_a_second_plan_message_does_nothing(ada: User) -> None:
    errands(35)
    export = ask(ada)
    step("plan_export", export.pk)
    parts = list(export.parts.values())
    step("plan_export", export.pk)
    assert list(export.parts.values()) == parts


# --- whole exports --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx", "pdf"])
def test_an_export_becomes_ready_with_its_file(ada: User, kind: str) -> None:
    errands(35)
    export = run(ada, kind)
    assert (export.state, export.rows, export.error_code) == (State.READY, 35, "")
    content = content_of(export)
    assert (export.size, files()) == (len(content), {export.artifact})
    assert export.filename.endswith(f".{kind}")
    assert set(export.parts.values_list("state", flat=True)) == {PartState.JOINED}
    assert told(ada) == ["export_ready"]


def test_the_parts_are_joined_in_order_under_one_header(ada: User) -> None:
    keys = errands(35)
    lines = content_of(run(ada)).decode("utf-8-sig").splitlines()
    assert lines[0] == "Number,Done by"
    assert lines[1:] == [f"{key},worker {n}" for n, key in enumerate(keys)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx", "pdf"])
def test_an_export_without_rows_is_an_empty_valid_file(ada: User, kind: str) -> None:
    export = run(ada, kind)
    assert (export.state, export.rows, export.parts.count()) == (State.READY, 0, 1)
    assert export.parts.get().first_key == ""
    if kind == "csv":
        assert content_of(export).decode("utf-8-sig") == "Number,Done by\r\n"


def test_only_the_chosen_columns_and_days_are_exported(ada: User) -> None:
    errands(3)
    day = PLACED.date()
    export = run(ada, period="custom", date_from=day, date_to=day, fields=["done_by"])
    assert content_of(export).decode("utf-8-sig").splitlines() == ["Done by", "worker 0", "worker 1", "worker 2"]
    before = run(ada, period="custom", date_from=day - timedelta(days=2), date_to=day - timedelta(days=1))
    assert before.rows == 0


def test_rows_created_after_planning_are_left_out(ada: User) -> None:
    errands(12)
    export = ask(ada)
    step("plan_export", export.pk)
    errands(5)
    hints.sent[:] = [("exports.tasks.render_part", tuple(export.parts.values_list("pk", flat=True)))]
    work(export)
    assert (export.state, export.rows) == (State.READY, 12)


def test_the_file_expires_after_keep_days(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"KEEP_DAYS": 2}
    export = run(ada)
    assert export.expires_at is not None
    assert timedelta(hours=47) < export.expires_at - clock.now() < timedelta(hours=49)


@pytest.mark.parametrize(
    ("start", "end", "zone", "name"),
    [
        (None, "2026-03-05T12:00:00+00:00", "UTC", "errands-to-2026-03-05"),
        (
            "2025-12-31T15:00:00+00:00",
            "2026-01-31T15:00:00+00:00",
            "Asia/Tokyo",
            "errands-2026-01-01-to-2026-01-31",
        ),
    ],
)
def test_the_file_name_has_the_dates_of_the_owners_time_zone(
    ada: User, start: str | None, end: str, zone: str, name: str
) -> None:
    export = export_in("queued", ada, period_start=start, period_end=end, time_zone=zone)
    export.refresh_from_db()
    assert context.stem(export, "errands") == name


def test_progress_is_recorded_while_a_part_is_rendered(ada: User, settings: Settings) -> None:
    """Progress is checked after each batch of rows; without a pause between writes, each check writes."""
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 1000, "PROGRESS_EVERY": 0}
    seen: list[int] = []

    class Watched(Errands):
        def source(self, *args: Any) -> RowStream:
            return tapped(super().source(*args), self.tap)

        def tap(self, number: int) -> None:
            seen.extend(Part.objects.values_list("rows_done", flat=True))

    errands(6)
    with registered(Watched):
        run(ada, "jsonl")
    assert sorted(set(seen)) == list(range(6))


@pytest.mark.parametrize("kind", ["csv", "json", "pdf"])
def test_a_release_that_adds_a_column_does_not_change_open_exports(ada: User, kind: str) -> None:
    class Wider(Errands):
        columns = (*Errands.columns, Column("attempt", "Attempt", ColumnType.INTEGER))

    errands(15)
    export = ask(ada, format=kind)
    step("plan_export", export.pk)
    step("render_part", export.parts.get(index=0).pk)
    with registered(Wider):
        work(export)
    assert (export.state, export.rows) == (State.READY, 15), export.error_message
    if kind == "csv":
        assert {line.count(b",") for line in content_of(export).splitlines()} == {1}


def test_an_export_with_an_unfinished_part_is_not_assembled(ada: User) -> None:
    export = export_in("assembling", ada)
    part_in("done", export)
    part_in("waiting", export, 1)
    step("assemble_export", export.pk)
    assert Export.objects.get().state == State.ASSEMBLING
