"""Every test's ground: an environment of its own, a database of the chosen kind, and a broker that only remembers."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import prepare

_ended = ExitStack()
atexit.register(_ended.close)
prepare(_ended)  # before Django's settings are read for the first time, which the next import does

import django  # noqa: E402
from django.conf import settings as site_settings  # noqa: E402

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connections  # noqa: E402
from hypothesis import HealthCheck  # noqa: E402
from hypothesis import settings as hypothesis_settings  # noqa: E402
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings  # noqa: E402

from tests.support import hints  # noqa: E402
from tests.support.stack import Stack, running  # noqa: E402

hypothesis_settings.register_profile(
    "carryall",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("carryall")

Committing = Callable[[], AbstractContextManager[Any]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let each xdist worker make an environment of its own: with this variable set, pytest-django reads the settings
    before this file is loaded."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL, only what asks the database: the rest is the same test a second time."""
    if connections["default"].vendor != "postgresql":
        return
    alone = [item for item in items if not _asks_the_database(item)]
    config.hook.pytest_deselected(items=alone)
    items[:] = [item for item in items if _asks_the_database(item)]


def _asks_the_database(item: pytest.Item) -> bool:
    asked = {"db", "transactional_db", "django_db_setup", "start", "shared_stack"}
    return item.get_closest_marker("django_db") is not None or not asked.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """SQLite in a file, as the site runs it: an in-memory database has no WAL, and threads would share its locks."""
    connection = connections["default"]
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(site_settings.VAR_DIR / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Leave the tests' database behind PgBouncer, whose connections keep it from being dropped: its server goes."""
    return os.environ.get("CARRYALL_TEST_DB") == "pgbouncer"


@pytest.fixture(autouse=True)
def _remembering_broker(settings: Settings) -> None:
    hints.sent.clear()
    settings.DURABLE = settings.DURABLE | {"SEND_HINT": "tests.support.hints.send"}


@pytest.fixture
def committing(django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Committing:
    """`with committing():` runs what waits for the commit at its end, though the test's transaction never commits."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def artifact_dir(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """The folder of this test's own artifact storage, with a scratch folder of its own beside it."""
    folder = tmp_path / "artifacts"
    usual: dict[str, Any] = settings.STORAGES["exports"]
    own = usual | {"OPTIONS": usual["OPTIONS"] | {"location": folder}}
    settings.STORAGES = settings.STORAGES | {"exports": own}
    settings.EXPORTS = settings.EXPORTS | {"SCRATCH_DIR": tmp_path / "scratch"}
    yield folder


@pytest.fixture
def ada(db: None) -> User:
    """A user with nothing yet."""
    return User.objects.create_user("ada", "ada@example.com", "password")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", "bob@example.com", "password")


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis, web and both workers over SQLite; a test must leave it up."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
