"""Tests of every registered task: it takes a primary key, has time limits and a queue, and may run twice."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from celery import Task, current_app
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from exports.models import Export, Part, Slot, UsageReport
from exports.states import State
from exports.upkeep import schedules, usage_report
from notifications.models import Delivery, Notification
from tests.support import hints as broker
from tests.support.errands import make_due
from tests.support.exports import Errands, ask, committed, errands, files, registered, work

pytestmark = pytest.mark.django_db
OURS = ("exports.tasks.", "exports.demo.tasks.", "notifications.tasks.")
BULK = {"exports.tasks.render_part", "exports.tasks.assemble_export"}
READ_RESULTS = {
    "exports.tasks.run_slot",
    "exports.tasks.collect_report",
    "exports.tasks.render_report",
    "exports.tasks.send_report",
}

current_app.loader.import_default_modules()
TASKS: dict[str, Task[Any, Any]] = {
    name: task for name, task in sorted(current_app.tasks.items()) if name.startswith(OURS)
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def test_the_tasks_are_registered() -> None:
    assert {"exports.tasks.plan_export", "exports.tasks.sweep", "notifications.tasks.deliver_notification"} <= set(
        TASKS
    )


@every_task
def test_a_task_takes_one_primary_key_or_nothing(task: Task[Any, Any]) -> None:
    parameters = inspect.signature(task.run).parameters
    hinted = typing.get_type_hints(task.run)
    assert [(name[-3:], hinted[name]) for name in parameters] in ([], [("_pk", int)])


@every_task
def test_a_task_has_a_soft_and_a_hard_limit(task: Task[Any, Any]) -> None:
    visible = current_app.conf.broker_transport_options["visibility_timeout"]
    assert 0 < (task.soft_time_limit or 0) < (task.time_limit or 0) < visible / 2


@every_task
def test_a_task_goes_to_its_queue(task: Task[Any, Any]) -> None:
    route = current_app.amqp.router.route({}, task.name)
    assert route["queue"].name == ("bulk" if task.name in BULK else "high")


@every_task
def test_only_results_that_are_read_are_stored(task: Task[Any, Any]) -> None:
    assert task.ignore_result is (task.name not in READ_RESULTS)


@every_task
def test_a_task_has_no_retries_of_its_own(task: Task[Any, Any]) -> None:
    assert task.acks_late
    assert not task.reject_on_worker_lost
    assert not getattr(task, "autoretry_for", ())
    assert "self" not in inspect.signature(task.run).parameters


def test_every_scheduled_task_exists() -> None:
    assert set(PeriodicTask.objects.values_list("task", flat=True)) <= set(TASKS)


# --- messages -------------------------------------------------------------------------------------------------------


def test_a_message_has_a_name_and_one_key_and_is_compressed() -> None:
    """Sends the message with Celery to a broker in memory."""
    with current_app.connection_for_write("memory://") as connection:
        send: Any = TASKS["exports.tasks.plan_export"].apply_async
        send((7,), connection=connection)
        queue: Any = connection.SimpleQueue("high")
        message = queue.get(timeout=5)
        args, kwargs, _ = message.decode()
        assert (args, kwargs, message.content_type) == ([7], {}, "application/json")
        assert message.headers["task"] == "exports.tasks.plan_export"
        assert message.headers["compression"] == "application/x-gzip"
        message.ack()
        queue.close()


recorded: list[tuple[str, tuple[int, ...]]] = []


def record(task: str, pks: Sequence[int]) -> None:
    recorded.append((task, tuple(pks)))
    broker.send(task, pks)


def test_every_hint_names_a_known_task_and_keys(ada: User, artifact_dir: object, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": f"{__name__}.record"}
    recorded.clear()
    with registered(Errands):
        errands(3)
        work(ask(ada))
        settings.CARRYALL = settings.CARRYALL | {"SMALL_ROWS": 0}
        work(ask(ada))
        Slot.objects.all().delete()
        with committed():
            usage_report.open_week(timezone.now(), timezone.now())
            schedules.tick("exports.tasks.remind_of_expiring_exports")
    assert {name for name, _ in recorded} == {name for name in TASKS if TASKS[name].run.__code__.co_argcount} - {
        "exports.tasks.collect_report",
        "exports.tasks.render_report",
        "exports.tasks.send_report",  # advance_report sends these three as a chain
    }
    assert all(type(pk) is int for _, pks in recorded for pk in pks)


def test_the_tasks_of_the_report_chain_take_only_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    chains: list[list[tuple[str, Any, bool]]] = []
    monkeypatch.setattr(
        "celery.canvas._chain.apply_async",
        lambda self: chains.append([(link.task, link.args, link.immutable) for link in self.tasks]),
    )
    report = UsageReport.objects.create(week="2026-W27", start=timezone.now(), end=timezone.now())
    usage_report.advance(report.pk)
    links = [f"exports.tasks.{stage}_report" for stage in ("collect", "render", "send")]
    assert chains == [[(link, (report.pk,), True) for link in links]]


# --- duplicate messages ---------------------------------------------------------------------------------------------


def snapshot() -> dict[str, Any]:
    """Return the rows of our apps without their times of publication and last run, all files, and the mail count."""
    rows = {
        model._meta.label: [
            {name: value for name, value in row.items() if name not in ("published_at", "last_run_at")}
            for row in model._default_manager.order_by("pk").values()
        ]
        for label in ("exports", "notifications")
        for model in apps.get_app_config(label).get_models()
    }
    return rows | {"files": files(), "mails": len(mail.outbox)}


@pytest.fixture
def busy_site(
    ada: User, settings: Settings, artifact_dir: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, int]]:
    """Set up a site on which every task has work to do."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr("celery.canvas._chain.apply_async", lambda self: broker.sent.append(("chain", ())))
    User.objects.create_user("boss", "boss@example.com", is_staff=True)
    now = timezone.now()
    monkeypatch.setattr("exports.upkeep.schedules.database_now", lambda model: now)  # both runs are in the same minute
    with registered(Errands):
        errands(3)
        yield {}


def rows_for(ada: User, task: str) -> int:
    """Create a row that is due for `task`, and return its primary key."""
    match task.rpartition(".")[2]:
        case "plan_export":
            return ask(ada).pk
        case "render_part" | "render_small_part":
            return _planned(ada).parts.get().pk
        case "assemble_export" | "assemble_small_export":
            export = _planned(ada)
            TASKS["exports.tasks.render_part"].run(export.parts.get().pk)
            return export.pk
        case "run_slot":
            return Slot.objects.create(schedule="exports.tasks.purge_expired_exports", slot=timezone.now()).pk
        case "deliver_notification":
            export = ask(ada)
            work(export)
            return Delivery.objects.get(channel="email").pk
        case stage:
            report = UsageReport.objects.create(week="2026-W27", start=timezone.now(), end=timezone.now())
            for link in ("collect_report", "render_report", "send_report"):
                if link == stage:
                    break
                if stage != "advance_report":
                    TASKS[f"exports.tasks.{link}"].run(report.pk)
            return report.pk


def _planned(ada: User) -> Export:
    export = ask(ada)
    TASKS["exports.tasks.plan_export"].run(export.pk)
    return export


@every_task
def test_a_task_that_runs_twice_has_no_second_effect(
    task: Task[Any, Any], ada: User, busy_site: dict[str, int]
) -> None:
    """A duplicate message changes no row, sends nothing and writes no file."""
    args = (rows_for(ada, task.name),) if inspect.signature(task.run).parameters else ()
    before = snapshot()
    with committed():
        task.apply(args, task_id="one message", throw=True)
    after = snapshot()
    if args and "advance_report" not in task.name:
        assert after != before, "the first run did nothing, so the second one proves nothing"
    with committed():
        task.apply(args, task_id="one message", throw=True)
    assert snapshot() == after


@pytest.mark.parametrize("name", sorted(name for name, task in TASKS.items() if inspect.signature(task.run).parameters))
def test_a_task_for_a_deleted_row_does_nothing(name: str) -> None:
    TASKS[name].run(4_711)


def test_an_export_with_duplicate_messages_is_made_once(ada: User, busy_site: dict[str, int]) -> None:
    """Each message is delivered three times, and retries are due at once."""
    export = ask(ada)
    steps = 0
    while broker.sent:
        name, pks = broker.sent.pop(0)
        for pk in pks * 3:
            with committed():
                TASKS[name].run(pk)
            make_due(*Part.objects.all())
            steps += 1
        assert steps < 100
    export.refresh_from_db()
    assert (export.state, export.attempt, Part.objects.get().attempt) == (State.READY, 2, 1)
    assert (Notification.objects.count(), Delivery.objects.count(), len(mail.outbox)) == (1, 2, 1)
    assert files() == {export.artifact}
