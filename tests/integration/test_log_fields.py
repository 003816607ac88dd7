"""Tests of log lines in JSON: the export's id is in every line of the work on an export, and in no other."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from config.logs import JsonFormatter
from durable import log_fields
from durable.log_fields import LogFields
from exports.datasets import RowStream
from exports.models import Export
from exports.states import State
from exports.tasks import plan_export, render_small_part
from tests.support import hints
from tests.support.exports import Errands, ask, committed, errands, export_in, registered, sweep_now

pytestmark = pytest.mark.django_db


class Lines(logging.StreamHandler[io.StringIO]):
    """A handler as the site has it with LOG_FORMAT=json."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.setFormatter(JsonFormatter("web"))
        self.addFilter(LogFields())

    @property
    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    loggers = [logging.getLogger(name) for name in ("", "django")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)
    log_fields.clear()


class Broken(Errands):
    def source(self, *args: Any, **options: Any) -> RowStream:
        logging.getLogger("site").warning("A line of the site's own code.")
        raise ZeroDivisionError("no rows today")


def run_tasks() -> None:
    for task, pks in [*hints.sent]:
        hints.sent.remove((task, pks))
        tasks: dict[str, Any] = {plan_export.name: plan_export, render_small_part.name: render_small_part}
        for pk in pks:
            with committed():
                tasks[task].apply((pk,))


@pytest.mark.usefixtures("artifact_dir")
def test_every_line_of_a_part_has_the_export_and_the_task(ada: User, lines: Lines) -> None:
    errands(3)
    with registered(Broken):
        export = ask(ada)
        log_fields.clear()  # the end of the request
        run_tasks()
        run_tasks()
    export.refresh_from_db()
    assert export.state == State.FAILED
    own = [line for line in lines.read if line["logger"] in ("site", "exports.pipeline.attempt")]
    assert len(own) == 2
    assert {line["export"] for line in own} == {str(export.uuid)}
    assert {line["task"] for line in own} == {"exports.tasks.render_small_part"}
    assert all(line["task_id"] for line in own)
    assert "ZeroDivisionError: no rows today" in own[1]["traceback"]
    logging.getLogger("site").warning("After the tasks.")
    assert "export" not in lines.read[-1]
    assert "task" not in lines.read[-1]


def test_a_request_for_an_export_has_its_id_in_its_lines(client: Client, ada: User, lines: Lines) -> None:
    export = export_in(State.EXPIRED, ada)
    client.force_login(ada)
    assert client.get(f"/exports/{export.uuid}/download/").status_code == 410
    [line] = [each for each in lines.read if each["logger"] == "django.request"]
    assert line["export"] == str(export.uuid)
    client.get("/nowhere/")
    assert "export" not in lines.read[-1]


def test_the_id_of_another_persons_export_is_not_in_the_lines(
    client: Client, ada: User, bob: User, lines: Lines
) -> None:
    export = export_in(State.READY, bob)
    client.force_login(ada)
    assert client.get(f"/exports/{export.uuid}/").status_code == 404
    assert "export" not in lines.read[-1]


def test_a_line_about_a_parked_export_has_its_id(ada: User, lines: Lines) -> None:
    export = export_in(State.QUEUED, ada, attempt=5, attempt_limit=5)
    sweep_now()
    [line] = [each for each in lines.read if each["logger"] == "exports.pipeline.failure"]
    assert line["export"] == str(export.uuid)
    assert log_fields.current() == {}


def test_the_thread_that_renews_a_lease_has_the_id(
    ada: User, lines: Lines, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"RENEW_EVERY": 0.01}
    seen: list[dict[str, str]] = []
    monkeypatch.setattr("durable.lease.Lease._renew_once", lambda self: seen.append(dict(log_fields.current())))
    lease = Export.objects.claim(export_in(State.QUEUED, ada).pk)
    assert lease is not None
    with lease:
        while not seen:
            pass
    assert seen[0] == {"export": str(lease.work.uuid)}


def test_the_text_can_show_the_id(ada: User) -> None:
    formatter = logging.Formatter("%(export)s %(message)s", defaults={"export": "-"})
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None)
    assert formatter.format(record) == "- hello"
    log_fields.put({"export": "the-id"})
    LogFields().filter(record)
    log_fields.clear()
    assert formatter.format(record) == "the-id hello"
