"""`manage.py check` names each piece of the installation that is missing, with its fix, and does not crash."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

APPS = [
    "django_celery_beat", "django_celery_results", "django_htmx", "durable", "notifications",
    "django.contrib.sessions", "django.contrib.staticfiles",
]  # fmt: skip
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
NAMED = {name: f'Add "{name}" to ' for name in (*APPS, *MIDDLEWARE)} | {"CARRYALL": "public URL, such as https://"}
"""Piece -> words of the hint."""


def manage(command: str, *without: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the site without these pieces."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.hosts.minimal.incomplete", "WITHOUT": ",".join(without),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "django", command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    """The errors of `manage.py check` without each piece."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        checked = pool.map(lambda piece: manage("check", piece), NAMED)
    return {piece: done.stderr for piece, done in zip(NAMED, checked, strict=True)}


@pytest.mark.parametrize("piece", NAMED)
def test_a_missing_piece_is_named_with_its_fix(piece: str, answers: dict[str, str]) -> None:
    assert NAMED[piece] in answers[piece]
    assert "Traceback" not in answers[piece]


def test_all_missing_pieces_are_named_at_once() -> None:
    answer = manage("check", *NAMED).stderr
    assert [piece for piece, words in NAMED.items() if words not in answer] == []


@pytest.mark.parametrize("piece", ["django_celery_beat", "notifications"])
def test_the_doctor_names_missing_apps(piece: str) -> None:
    done = manage("doctor", piece)
    assert NAMED[piece] in done.stdout
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_the_doctor_names_missing_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_DIR", str(tmp_path))
    assert "migrations are not applied: run `manage.py migrate`" in manage("doctor").stdout
