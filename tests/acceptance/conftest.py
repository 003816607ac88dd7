"""Fixture that starts separate sites, for tests that damage their site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.databases import postgresql
from tests.support.stack import Stack, running

Start = Callable[..., Stack]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Function that starts a site for this test: start("worker-high", "web"), start(database="postgresql")."""
    with ExitStack() as ended:

        def begin(*names: str, database: str = "sqlite", seed: bool = True, **environment: str) -> Stack:
            folder = tmp_path / f"site-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            url = ended.enter_context(postgresql(folder / "pg")) if database == "postgresql" else ""
            return ended.enter_context(running(folder, *names, database_url=url, seed=seed, **environment))

        yield begin
