"""Tests of the environment variables: defaults, types, and error messages that name the variable and the fix."""

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
    for name in [
        *PRODUCTION,
        "DEBUG",
        "HTTPS",
        "PORT",
        "TIME_ZONE",
        "CSRF_TRUSTED_ORIGINS",
        "PROCESS_NAME",
        "METRICS_TOKEN",
        "LOG_FORMAT",
    ]:
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


def test_the_demo_needs_no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = read(monkeypatch)
    assert (found.name, found.demo, found.debug, found.https) == ("demo", True, False, False)
    assert found.database["NAME"] == f"{tmp_path}/var/db.sqlite3"
    assert found.broker_url.startswith("unix://")
    assert found.email["EMAIL_FILE_PATH"] == f"{tmp_path}/var/mail"
    assert found.site_url == "http://127.0.0.1:8000"


def test_the_demo_creates_one_private_secret_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = read(monkeypatch).secret_key
    assert len(key) > 50
    assert read(monkeypatch).secret_key == key
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_empty_urls_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = read(monkeypatch)
    assert read(monkeypatch, DATABASE_URL="", REDIS_URL="", EMAIL_URL="", SECRET_KEY="") == bare


def test_servers_are_configured_by_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch, DATABASE_URL="postgres://u:p@h:5433/n", REDIS_URL="redis://h:1/2", EMAIL_URL="smtp://m:25"
    )
    assert (found.database["ENGINE"], found.database["PORT"]) == ("django.db.backends.postgresql", 5433)
    assert (found.broker_url, found.email["EMAIL_HOST"]) == ("redis://h:1/2", "m")
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
        ("BROKER_URL", "kafka://127.0.0.1"),
        ("BROKER_URL", "amqp://"),
        ("BROKER_URL", "amqp://host:port/"),
        ("TIME_ZONE", "Europe/Atlantis"),
    ],
)
def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refused(monkeypatch, **{name: value})


# --- production -----------------------------------------------------------------------------------------------------


def test_a_complete_production_environment_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, **PRODUCTION)
    assert (found.demo, found.debug, found.https) == (False, False, True)
    assert found.allowed_hosts == ["example.com", "www.example.com"]
    assert found.site_url == "https://example.com"


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "ENVIRONMENT"])
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_production_requires_each_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    message = refused(monkeypatch, **PRODUCTION | {name: value})
    faults = message.splitlines()[1:]
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
def test_production_rejects_unsafe_or_invalid_values(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refused(monkeypatch, **PRODUCTION | {name: value})


def test_production_reports_all_faults_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, ENVIRONMENT="production", DEBUG="1")
    assert all(name in message for name in [*PRODUCTION, "DEBUG"])


def _manage(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    variables = bare | {"VAR_DIR": str(tmp_path / "var"), "DJANGO_SETTINGS_MODULE": "config.settings"} | variables
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=environment.BASE_DIR, env=variables, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.slow
def test_production_passes_the_deployment_check_of_django(tmp_path: Path) -> None:
    done = _manage(tmp_path, "check", "--deploy", "--fail-level", "INFO", **PRODUCTION)
    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


@pytest.mark.slow
def test_production_without_a_variable_does_not_start(tmp_path: Path) -> None:
    done = _manage(tmp_path, "check", **PRODUCTION | {"DATABASE_URL": ""})
    assert done.returncode != 0
    assert "DATABASE_URL is missing" in done.stderr


@pytest.mark.slow
def test_production_has_no_demo(tmp_path: Path) -> None:
    done = _manage(tmp_path, "seed_demo", **PRODUCTION)
    assert done.returncode != 0
    assert "Unknown command" in done.stderr


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make and Compose files pass unset variables as empty strings."""
    monkeypatch.setattr(environment, "BASE_DIR", tmp_path)
    without = environment.read()
    for name in ("ENVIRONMENT", "DEBUG", "DATABASE_URL", "REDIS_URL", "VAR_DIR", "PORT", "SITE_URL", "TIME_ZONE"):
        monkeypatch.setenv(name, "")
    for name in ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "EMAIL_URL", "DEFAULT_FROM_EMAIL", "HTTPS"):
        monkeypatch.setenv(name, "")
    assert environment.read() == without


def test_another_broker_needs_no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, **PRODUCTION | {"REDIS_URL": None, "BROKER_URL": "amqps://u:p@h/v"})
    assert found.broker_url == "amqps://u:p@h/v"
    assert read(monkeypatch, **PRODUCTION | {"BROKER_URL": None}).broker_url == PRODUCTION["REDIS_URL"]


def test_metrics_and_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch)
    assert (found.metrics_token, found.log_format) == ("", "text")
    found = read(monkeypatch, **PRODUCTION, METRICS_TOKEN="a-long-token-of-ours", LOG_FORMAT="json")
    assert (found.metrics_token, found.log_format) == ("a-long-token-of-ours", "json")
    assert "set it to text or json" in refused(monkeypatch, LOG_FORMAT="xml")
