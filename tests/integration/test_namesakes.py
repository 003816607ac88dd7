"""Packages with the names of our apps: a site that has one stops with a sentence that names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = """
SECRET_KEY = "a key for tests alone"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.staticfiles", "django_celery_beat", "django_celery_results", "django_htmx", %s]
CARRYALL = {"SITE_URL": "https://shop.example"}
STATIC_URL = "static/"
"""
OURS = ("durable", "notifications", "exports")
START_APP = "from django.apps import AppConfig\n\n\nclass {}Config(AppConfig):\n    name = '{}'\n"


def check(folder: Path, *apps: str, ours: Path = ROOT) -> str:
    """Return what `manage.py check` of a site with these apps prints. `folder` is first on sys.path, as a site's is."""
    (folder / "shop_settings.py").write_text(SETTINGS % ", ".join(map(repr, apps)))
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "shop_settings", "PYTHONPATH": f"{folder}:{ours}"}
    command = [sys.executable, "-m", "django", "check"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def write_app(folder: Path, name: str) -> Path:
    """Write an app as `manage.py startapp` does. Return the path that Python finds."""
    (folder / name).mkdir()
    (folder / name / "apps.py").write_text(START_APP.format(name.title(), name))
    (folder / name / "models.py").write_text("from django.db import models\n")
    (folder / name / "__init__.py").touch()
    return folder / name / "__init__.py"


def test_a_site_without_namesakes_starts(tmp_path: Path) -> None:
    said = check(tmp_path, *OURS)
    assert "System check identified" in said
    assert "Carryall's" not in said


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("apps", [OURS, OURS[::-1]], ids=["in our order", "reversed"])
def test_another_package_is_named_with_the_fix(tmp_path: Path, name: str, apps: tuple[str, ...]) -> None:
    path = write_app(tmp_path, name)
    last = check(tmp_path, *apps).strip().splitlines()[-1]
    assert last.startswith(
        f"django.core.exceptions.ImproperlyConfigured: The package {name!r} in {path} is not Carryall's: rename"
    )
    assert "docs/how-to/install.md#names-that-clash" in last


def test_the_rest_of_a_package_that_was_uninstalled_is_named(tmp_path: Path) -> None:
    """pip removes files of both packages, if they were in the same folder: without `__init__.py`, it is a namespace."""
    site = tmp_path / "site"
    (site / "notifications" / "channels").mkdir(parents=True)
    for name in ("durable", "exports"):
        (site / name).symlink_to(ROOT / name)
    last = check(tmp_path, *OURS, ours=site).strip().splitlines()[-1]
    assert f"The package 'notifications' in {site / 'notifications'} is not Carryall's: rename" in last


def test_a_package_that_was_installed_into_our_folders_is_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    site = tmp_path / "site"
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    assert "durable.W002" not in check(tmp_path, *OURS, ours=site)
    foreign = site / "notifications" / "migrations" / "0002_auto_20150224_1134.py"
    foreign.write_text("raise AssertionError\n")
    said = check(tmp_path, *OURS, ours=site)
    assert f"(durable.W002) Modules in the folders of Carryall's apps are not Carryall's, such as {foreign}." in said
