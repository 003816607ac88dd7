"""Fixtures and setup of all tests: a separate environment, the chosen database, and a broker that records hints."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

if _module := os.environ.get("DJANGO_SETTINGS_MODULE"):  # pytest-django has read those settings before this file
    raise SystemExit(f"Unset DJANGO_SETTINGS_MODULE, which is {_module}: the tests have settings of their own.")

from durable import log_fields
from tests.support.environment import prepare

_ended = ExitStack()
atexit.register(_ended.close)
prepare(_ended)  # before the next import, which reads Django's settings for the first time

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

collect_ignore = ["hosts"]  # tests/integration/test_hosts.py runs these, each with the settings of its site

hypothesis_settings.register_profile(
    "carryall",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("carryall")

OURS = "carryall" if "carryall" in connections else "default"
"""Alias of the database of our own tables."""
Committing = Callable[[], AbstractContextManager[Any]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let each xdist worker prepare its own environment.

    With this variable set, pytest-django would read the settings before it loads this file.
    """
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL, deselect tests that do not use the database: they would only repeat the run on SQLite.

    Deselect tests of another site. If the site has several databases, let each test use all.
    """
    here = os.environ.get("CARRYALL_TEST_SITE", "usual")
    elsewhere = [item for item in items if (mark := item.get_closest_marker("site")) and here not in mark.args]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]
    aliases = [alias for alias, database in connections.settings.items() if not database["TEST"]["MIRROR"]]
    if len(aliases) > 1:
        for item in filter(_uses_database, items):
            mark = item.get_closest_marker("django_db")
            every: dict[str, Any] = {"databases": aliases} | (dict(mark.kwargs) if mark else {})
            item.add_marker(pytest.mark.django_db(**every), append=False)
    if connections["default"].vendor != "postgresql":
        return
    alone = [item for item in items if not _uses_database(item)]
    config.hook.pytest_deselected(items=alone)
    items[:] = [item for item in items if _uses_database(item)]


def _uses_database(item: pytest.Item) -> bool:
    fixtures = {"db", "transactional_db", "django_db_setup", "start", "shared_stack"}
    return item.get_closest_marker("django_db") is not None or not fixtures.isdisjoint(
        getattr(item, "fixturenames", ())
    )


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Use an SQLite file, as the site does. An in-memory database has no WAL, and its threads share locks."""
    for connection in connections.all():
        if connection.vendor == "sqlite":
            connection.settings_dict["TEST"]["NAME"] = str(site_settings.VAR_DIR / f"{connection.alias}.sqlite3")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Keep the test database behind PgBouncer, whose connections prevent dropping it. The server is removed anyway."""
    return os.environ.get("CARRYALL_TEST_DB") == "pgbouncer"


@pytest.fixture(autouse=True)
def _recording_broker(settings: Settings) -> None:
    hints.sent.clear()
    log_fields.clear()
    settings.CARRYALL = settings.CARRYALL | {"SEND_HINT": "tests.support.hints.send"}


@pytest.fixture
def committing(django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Committing:
    """`with committing():` runs the on_commit callbacks at its end, although the test's transaction never commits."""
    return lambda: django_capture_on_commit_callbacks(using=OURS, execute=True)


@pytest.fixture
def artifact_dir(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """Folder of a separate artifact storage, next to a separate scratch folder."""
    folder = tmp_path / "artifacts"
    usual: dict[str, Any] = settings.STORAGES["exports"]
    separate = usual | {"OPTIONS": usual["OPTIONS"] | {"location": folder}}
    settings.STORAGES = settings.STORAGES | {"exports": separate}
    settings.CARRYALL = settings.CARRYALL | {"SCRATCH_DIR": tmp_path / "scratch"}
    yield folder


@pytest.fixture
def ada(db: None) -> User:
    """A user without any data."""
    return User.objects.create_user("ada", "ada@example.com", "password")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", "bob@example.com", "password")


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A site with Redis, web and both workers on SQLite. Tests must leave it running."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
