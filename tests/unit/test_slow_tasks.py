"""Tests of the log message about slow tasks."""

from __future__ import annotations

import logging
import time

import pytest
from celery import shared_task
from pytest_django import Settings

from durable.celery import tasks
from durable.celery.tasks import durable_task


@durable_task
def errand(pk: int) -> None:
    time.sleep(0.02)


@shared_task
def task_of_the_site(pk: int) -> None:
    time.sleep(0.02)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, tasks.logger.name)
    return caplog


def test_a_slow_task_of_ours_is_logged(warnings: pytest.LogCaptureFixture, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SLOW_SECONDS": 0.01}
    errand.apply((7,))
    task_of_the_site.apply((7,))
    (line,) = [record.getMessage() for record in warnings.records if record.name == tasks.logger.name]
    assert "errand(7,) took 0." in line


def test_a_quick_task_is_not_logged(warnings: pytest.LogCaptureFixture) -> None:
    errand.apply((7,))
    assert not [record for record in warnings.records if record.name == tasks.logger.name]
