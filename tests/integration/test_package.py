"""The wheel: the three apps with their data files, and nothing of the demo site."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
APPS = ("durable", "exports", "notifications")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZipFile]:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


def test_it_has_each_file_of_the_apps_but_the_demo(wheel: ZipFile) -> None:
    tracked = subprocess.check_output(["git", "ls-files", *APPS], cwd=ROOT, text=True).splitlines()
    expected = {name for name in tracked if not name.startswith("exports/demo/")}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected
    kinds = {Path(name).suffix for name in packed}
    assert kinds >= {".py", ".html", ".txt", ".css", ".js", ".typed"}
    assert {f"{app}/py.typed" for app in APPS} <= packed


def test_its_metadata(wheel: ZipFile) -> None:
    folder = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")).rpartition("/")[0]
    metadata = message_from_string(wheel.read(f"{folder}/METADATA").decode())
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "# Carryall" in metadata.get_payload()
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "all",
        "chat",
        "filters",
        "metrics",
        "parquet",
        "pdf",
        "postgres",
        "push",
        "redis",
        "s3",
        "sqs",
        "webhooks",
    }


def test_it_always_requires_only_what_the_apps_always_import(wheel: ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    required = message_from_string(wheel.read(name).decode()).get_all("Requires-Dist", [])
    always = {line.split("<")[0].split(">")[0].strip() for line in required if "extra ==" not in line}
    assert always == {
        "celery", "cronsim", "django", "django-celery-beat", "django-celery-results", "django-htmx", "isal",
    }  # fmt: skip
