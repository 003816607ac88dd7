"""Run promtool, the checker of Prometheus."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from config.environment import BASE_DIR

FOLDER = BASE_DIR / "deploy" / "monitoring"


def promtool(*arguments: str, text: str | None = None) -> None:
    """Run promtool in the folder of rules, with `text` as its input. Fail the test with what it reports."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed: it is in Debian's package prometheus.")
    done = subprocess.run([path, *arguments], input=text, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stdout + done.stderr
