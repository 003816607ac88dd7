"""The environment: read once, typed, and a wrong variable names itself and the mend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import environment
from config.environment import Environment

PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "kT9-" + "a1B2c3D4e5F6" * 5,
    "DATABASE_URL": "postgresql://carryall:secret@db.example.com/carryall",
    "REDIS_URL": "rediss://:secret@redis.example.com:6379/0",
    "EMAIL_URL": "submission://user:secret@mail.example.com:587",
    "DEFAULT_FROM_EMAIL": "exports@example.com",
    "SITE_URL": "https://example.com/",
    "ALLOWED_HOSTS": "example.com,www.example.com",
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*PRODUCTION, "DEBUG", "HTTPS", "PORT", "TIME_ZONE", "CSRF_TRUSTED_ORIGINS", "PROCESS_NAME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))


def read(monkeypatch: pytest.MonkeyPatch, **variables: str | None) -> Environment:
    for name, value in variables.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    return environment.read()


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str | None) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        read(monkeypatch, **variables)
    return str(caught.value)


# --- demo -----------------------------------------------------------------------------------------------------------


def test_the_demo_needs_no_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = read(monkeypatch)
    assert (found.name, found.demo, found.debug, found.https) == ("demo", True, False, False)
    assert found.database["NAME"] == f"{tmp_path}/var/db.sqlite3"
    assert found.redis_url.startswith("unix://")
    assert found.email["EMAIL_FILE_PATH"] == f"{tmp_path}/var/mail"
    assert found.site_url == "http://127.0.0.1:8000"


def test_the_demos_secret_key_is_made_once_and_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = read(monkeypatch).secret_key
    assert len(key) > 50
    assert read(monkeypatch).secret_key == key
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_an_empty_variable_is_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make exports what it was not given as empty."""
    bare = read(monkeypatch)
    assert read(monkeypatch, DATABASE_URL="", REDIS_URL="", EMAIL_URL="", SECRET_KEY="") == bare


def test_other_servers_are_taken_from_their_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch, DATABASE_URL="postgres://u:p@h:5433/n", REDIS_URL="redis://h:1/2", EMAIL_URL="smtp://m:25"
    )
    assert (found.database["ENGINE"], found.database["PORT"]) == ("django.db.backends.postgresql", 5433)
    assert (found.redis_url, found.email["EMAIL_HOST"]) == ("redis://h:1/2", "m")
    assert found.email["EMAIL_TIMEOUT"] == environment.MAIL_TIMEOUT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("PORT", "eighty"),
        ("DEBUG", "perhaps"),
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "oracle7://u:p@h/n"),
        ("EMAIL_URL", "not a url"),
        ("EMAIL_URL", "pigeon://coop"),
        ("REDIS_URL", "not a url"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("TIME_ZONE", "Europe/Atlantis"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refused(monkeypatch, **{name: value})


# --- production -----------------------------------------------------------------------------------------------------


def test_a_whole_production_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, **PRODUCTION)
    assert (found.demo, found.debug, found.https) == (False, False, True)
    assert found.allowed_hosts == ["example.com", "www.example.com"]
    assert found.site_url == "https://example.com"


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "ENVIRONMENT"])
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_production_refuses_what_is_missing(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    words = refused(monkeypatch, **PRODUCTION | {name: value})
    faults = words.splitlines()[1:]
    assert len(faults) == 1
    assert faults[0].startswith(f"- {name} is missing")
    assert "set it to" in faults[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "true"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "django-insecure-" + "x1y2z3" * 10),
        ("SECRET_KEY", "a" * 80),
        ("ALLOWED_HOSTS", "*"),
        ("DATABASE_URL", "not a url"),
        ("EMAIL_URL", "not a url"),
        ("REDIS_URL", "not a url"),
        ("HTTPS", "maybe"),
    ],
)
def test_production_refuses_what_is_unsafe_or_wrong(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refused(monkeypatch, **PRODUCTION | {name: value})


def test_production_names_every_fault_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    words = refused(monkeypatch, ENVIRONMENT="production", DEBUG="1")
    assert all(name in words for name in [*PRODUCTION, "DEBUG"])


def _manage(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    variables = bare | {"VAR_DIR": str(tmp_path / "var"), "DJANGO_SETTINGS_MODULE": "config.settings"} | variables
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=environment.BASE_DIR, env=variables, capture_output=True, text=True, check=False, timeout=60
    )


def test_production_passes_djangos_own_deployment_check(tmp_path: Path) -> None:
    done = _manage(tmp_path, "check", "--deploy", "--fail-level", "INFO", **PRODUCTION)
    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


def test_production_without_a_variable_does_not_start(tmp_path: Path) -> None:
    done = _manage(tmp_path, "check", **PRODUCTION | {"DATABASE_URL": ""})
    assert done.returncode != 0
    assert "DATABASE_URL is missing" in done.stderr


def test_production_has_no_demo(tmp_path: Path) -> None:
    done = _manage(tmp_path, "seed_demo", **PRODUCTION)
    assert done.returncode != 0
    assert "Unknown command" in done.stderr


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make and compose files hand on what nobody has set as an empty text."""
    monkeypatch.setattr(environment, "BASE_DIR", tmp_path)
    without = environment.read()
    for name in ("ENVIRONMENT", "DEBUG", "DATABASE_URL", "REDIS_URL", "VAR_DIR", "PORT", "SITE_URL", "TIME_ZONE"):
        monkeypatch.setenv(name, "")
    for name in ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "EMAIL_URL", "DEFAULT_FROM_EMAIL", "HTTPS"):
        monkeypatch.setenv(name, "")
    assert environment.read() == without
