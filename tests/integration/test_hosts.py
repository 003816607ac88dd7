"""Sites of other people that install Carryall: each passes its own tests, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts import sites

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("site", sites())
def test_a_site_passes_its_tests(site: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.hosts", site, "-p", "no:cacheprovider"],
        cwd=ROOT, env=environment | {"BASE_DIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
