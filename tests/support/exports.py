"""Test helpers: exports and parts in every state, a minimal dataset, and functions that run the workers' steps."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import router
from django.db.models import QuerySet
from django.test import TestCase
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from durable import sweep
from exports.datasets import Column, ColumnType, Dataset, Row, RowStream, datasets
from exports.formats import Kind, formats
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export, Part
from exports.pipeline import assemble, plan, render
from exports.states import PartState, State
from exports.storage import artifacts
from notifications.models import Notification
from tests.support import hints
from tests.work.models import Errand

PLACED = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Errands(Dataset):
    """A dataset of all errands, independent of the shop's tables. Tests subclass it to make it misbehave."""

    key = "errands"
    label = "Errands"
    date_field = "claimed_at"
    columns: ClassVar[Sequence[Column]] = (Column("id", "Number", ColumnType.INTEGER), Column("done_by", "Done by"))

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Errand]:
        return Errand.objects.all()


def tapped(source: RowStream, tap: Callable[[int], None]) -> RowStream:
    """Make `source` yield one row at a time and call `tap` with the row's number, from 0, before each. Return it."""
    pages = source._pages

    def one_by_one(size: int | None = None) -> Iterator[list[Row]]:
        for number, row in enumerate(row for page in pages(size) for row in page):
            tap(number)
            yield [row]

    source._pages = one_by_one  # type: ignore[method-assign]
    source.copying = lambda: None  # type: ignore[method-assign]
    return source


@contextmanager
def registered(kind: type[Dataset] | type[Kind]) -> Iterator[None]:
    """Register `kind` under its key inside this context, and restore the previous entries in their order afterwards."""
    registry: Any = datasets if issubclass(kind, Dataset) else formats
    before = dict(registry._entries)
    registry.unregister(kind.key)
    registry.register(kind)
    try:
        yield
    finally:
        registry._entries = before


def errands(count: int) -> list[int]:
    """Create `count` rows for the dataset, and return their primary keys."""
    rows = [Errand(done_by=f"worker {n}", claimed_at=PLACED, next_attempt_at=None) for n in range(count)]
    return [row.pk for row in Errand.objects.bulk_create(rows)]


def export_in(state: State | str, owner: User, **fields: Any) -> Export:
    """Create an export in `state`, with the field values that this state requires."""
    now = timezone.now()
    facts: dict[str, Any] = (
        {"next_attempt_at": now} if state in (State.QUEUED, State.ASSEMBLING) else {"next_attempt_at": None}
    )
    if state not in (State.QUEUED, State.RENDERING, State.ASSEMBLING):
        facts["finished_at"] = now
    if state == State.FAILED:
        facts |= {"error_code": "dataset_failed", "error_message": "The data could not be read."}
    if state == State.READY:
        facts |= ready_facts(now)
    unique = {"fingerprint": uuid.uuid4().hex}
    chosen = {"dataset": "errands", "format": "csv", "period_choice": "all", "period_end": now}
    return Export.objects.create(owner=owner, state=state, **(unique | chosen | facts | fields))


def ready_facts(now: datetime) -> dict[str, Any]:
    return {
        "artifact": f"{uuid.uuid4()}/part-0-1.csv", "sha256": "ab" * 32, "size": 3, "rows": 1,
        "filename": "errands.csv", "expires_at": now + timedelta(days=7),
    }  # fmt: skip


def part_in(state: PartState | str, export: Export, index: int = 0, **fields: Any) -> Part:
    """Create a part in `state`, with the field values that this state requires."""
    facts: dict[str, Any] = {} if state == PartState.WAITING else {"next_attempt_at": None}
    if state == PartState.DONE:
        facts |= {"artifact": f"{export.uuid}/part-{index}-1.csv", "sha256": "ab" * 32, "size": 3}
    if state == PartState.FAILED:
        facts |= {"error_code": "dataset_failed", "error_message": "The data could not be read."}
    return Part.objects.create(export=export, owner=export.owner, index=index, state=state, **(facts | fields))


def committed() -> AbstractContextManager[Any]:
    """Run on-commit callbacks at the end of the block, even in a test whose own transaction never commits."""
    return TestCase.captureOnCommitCallbacks(using=router.db_for_write(Export), execute=True)


def ask(owner: AbstractBaseUser, format: str = "csv", period: str = "all", **more: Any) -> Export:  # noqa: A002
    """Request an export, as a click on the button does."""
    with committed():
        request = ExportRequest(**({"dataset": "errands", "format": format, "period": period} | more))
        return request_export(owner, request).export


STEPS: dict[str, Callable[[int], None]] = {
    "exports.tasks.plan_export": plan.run,
    "exports.tasks.render_part": render.run,
    "exports.tasks.render_small_part": render.run,
    "exports.tasks.assemble_export": assemble.run,
    "exports.tasks.assemble_small_export": assemble.run,
}


def step(task: str, pk: int) -> None:
    """Run one task, as a worker does for one message."""
    with committed():
        STEPS[f"exports.tasks.{task}"](pk)


def work(*exports: Export) -> None:
    """Run the tasks of all hints until no hint is left, then refresh these exports."""
    while due := [(task, pk) for task, pks in hints.sent for pk in pks if task in STEPS]:
        hints.sent[:] = [(task, pks) for task, pks in hints.sent if task not in STEPS]
        for task, pk in due:
            step(task.rpartition(".")[2], pk)
    for export in exports:
        export.refresh_from_db()


def run(owner: AbstractBaseUser, format: str = "csv", **more: Any) -> Export:  # noqa: A002
    """Request an export, and run all of its tasks."""
    export = ask(owner, format, **more)
    work(export)
    return export


def sweep_now() -> dict[str, int]:
    """Run one sweep and return its result. Schedules are disabled, or each new minute would count as a missed slot."""
    PeriodicTask.objects.update(enabled=False)
    with committed():
        return sweep.sweep()


def content_of(export: Export) -> bytes:
    with artifacts.open_artifact(export.artifact) as file:
        return file.read()


def files() -> set[str]:
    """Return every key in the storage."""
    return {key for key, _ in artifacts.stored_keys()}


def told(owner: User) -> list[str]:
    """Return the kinds of this user's notifications, oldest first."""
    return list(Notification.objects.of(owner.pk).order_by("pk").values_list("kind", flat=True))
