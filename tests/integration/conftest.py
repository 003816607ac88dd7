"""Static files as the site serves them: a page that names one that is not there fails its test. And a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from pytest_django import Settings

from config.artifacts import store
from tests.support.s3 import Bucket, Server, serving


@pytest.fixture(scope="session", autouse=True)
def _static_files() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of S3's protocol, with an empty bucket."""
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Bucket:
    """Artifacts in a folder of its bucket that is this test's own."""
    mine = Bucket(s3, uuid4().hex)
    for name, value in mine.environment.items():
        monkeypatch.setenv(name, value)
    own = store(mine.environment["STORAGE_URL"], tmp_path)
    settings.STORAGES = settings.STORAGES | {"exports": own}
    settings.CARRYALL = settings.CARRYALL | {"SCRATCH_DIR": tmp_path / "scratch"}
    return mine
