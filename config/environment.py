"""The only module that reads environment variables. Errors name the variable and how to fix it.

ENVIRONMENT is `demo` (the default: SQLite, a private Redis and a demo shop, all under `var/`; no variable is needed) or
`production` (does not start if a setting is missing or unsafe).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import dj_database_url
import dj_email_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

from config import broker
from config.artifacts import store
from config.private import redis_socket, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
SHORTEST_KEY = 50
"""Characters; the limit of Django's check security.W009."""
MAIL_TIMEOUT = 10
"""Seconds to wait for a mail server if EMAIL_URL has no timeout."""


@dataclass(frozen=True)
class Environment:
    """The environment, typed. Paths are absolute; URLs are complete."""

    name: str
    debug: bool
    secret_key: str
    var_dir: Path
    database: dict[str, Any]
    broker_url: str
    artifacts: dict[str, Any]
    allowed_hosts: list[str]
    csrf_trusted_origins: list[str]
    email: dict[str, Any]
    default_from_email: str
    site_url: str
    vapid_private_key: str
    process_name: str
    heartbeat_file: Path | None
    time_zone: str
    https: bool
    rates_url: str
    metrics_token: str
    log_format: str

    @property
    def demo(self) -> bool:
        return self.name == "demo"


def read(env: Env | None = None) -> Environment:
    """Read and check the environment. An empty variable counts as unset. Raise ImproperlyConfigured."""
    env = env or Env()
    try:
        return _read(env)
    except EnvError as error:
        raise ImproperlyConfigured(f"An environment variable is wrong: {error}") from error


def _read(env: Env) -> Environment:
    name = env.str("ENVIRONMENT", "") or "demo"
    if name not in ("demo", "production"):
        raise ImproperlyConfigured(f"ENVIRONMENT={name} is unknown: set it to demo or production.")
    var_dir = Path(env.str("VAR_DIR", "") or BASE_DIR / "var").absolute()
    return _demo(env, var_dir) if name == "demo" else _production(env, var_dir)


def _demo(env: Env, var_dir: Path) -> Environment:
    port = env.int("PORT") if env.str("PORT", "") else 8000
    return Environment(
        name="demo",
        debug=_on(env, "DEBUG"),
        secret_key=env.str("SECRET_KEY", "") or secret_key(var_dir),
        var_dir=var_dir,
        database=_database(env, f"sqlite:///{var_dir}/db.sqlite3"),
        broker_url=_broker_url(env, f"unix://{redis_socket(var_dir)}"),
        artifacts=store(env.str("STORAGE_URL", ""), var_dir),
        allowed_hosts=env.list("ALLOWED_HOSTS", []) or ["127.0.0.1", "localhost", "[::1]"],
        csrf_trusted_origins=env.list("CSRF_TRUSTED_ORIGINS", []),
        email=_email(env, f"file://{var_dir}/mail"),
        default_from_email=env.str("DEFAULT_FROM_EMAIL", "") or "Carryall <carryall@example.com>",
        site_url=(env.str("SITE_URL", "") or f"http://127.0.0.1:{port}").rstrip("/"),
        vapid_private_key=env.str("VAPID_PRIVATE_KEY", ""),
        process_name=env.str("PROCESS_NAME", "shell"),
        heartbeat_file=_path(env, "HEARTBEAT_FILE"),
        time_zone=_time_zone(env),
        https=False,
        rates_url=env.str("RATES_URL", ""),
        metrics_token=env.str("METRICS_TOKEN", ""),
        log_format=_log_format(env),
    )


def _production(env: Env, var_dir: Path) -> Environment:
    faults = list(_production_faults(env))
    if faults:
        raise ImproperlyConfigured("ENVIRONMENT=production cannot start.\n- " + "\n- ".join(faults))
    return Environment(
        name="production",
        debug=False,
        secret_key=env.str("SECRET_KEY"),
        var_dir=var_dir,
        database=_database(env, ""),
        broker_url=_broker_url(env, ""),
        artifacts=store(env.str("STORAGE_URL", ""), var_dir),
        allowed_hosts=env.list("ALLOWED_HOSTS"),
        csrf_trusted_origins=env.list("CSRF_TRUSTED_ORIGINS", []),
        email=_email(env, ""),
        default_from_email=env.str("DEFAULT_FROM_EMAIL"),
        site_url=env.str("SITE_URL").rstrip("/"),
        vapid_private_key=env.str("VAPID_PRIVATE_KEY", ""),
        process_name=env.str("PROCESS_NAME", "shell"),
        heartbeat_file=_path(env, "HEARTBEAT_FILE"),
        time_zone=_time_zone(env),
        https=_on(env, "HTTPS", default=True),
        rates_url="",  # of the demo shop
        metrics_token=env.str("METRICS_TOKEN", ""),
        log_format=_log_format(env),
    )


_REQUIRED = {
    "DATABASE_URL": "set it to the database, for example postgresql://user:password@host/name.",
    "REDIS_URL": "set it to the broker, for example rediss://user:password@host:6379/0 "
    "or sentinel://user:password@host:26379,host2:26379/master. Or set BROKER_URL, for example to "
    "amqps://user:password@host/vhost.",
    "EMAIL_URL": "set it to the mail server, for example submission://user:password@host:587.",
    "DEFAULT_FROM_EMAIL": "set it to the sender address of e-mails.",
    "SITE_URL": "set it to the site's public address, for example https://example.com; links in e-mails start with it.",
    "ALLOWED_HOSTS": "set it to the host names of the site, separated by commas.",
}


def _production_faults(env: Env) -> list[str]:
    given = {name for name in (*_REQUIRED, "BROKER_URL") if env.str(name, "")}
    given |= {"REDIS_URL"} if "BROKER_URL" in given else set()
    faults = [f"{name} is missing: {fix}" for name, fix in _REQUIRED.items() if name not in given]
    if _on(env, "DEBUG"):
        faults.append("DEBUG is on: error pages would show secrets; unset DEBUG.")
    key = env.str("SECRET_KEY", "")
    if len(key) < SHORTEST_KEY or key.startswith("django-insecure-") or len(set(key)) < 5:
        faults.append(
            "SECRET_KEY is missing, a default, or too short: set it to at least 50 random characters "
            "(python -c 'import secrets; print(secrets.token_urlsafe(64))')."
        )
    if "*" in env.list("ALLOWED_HOSTS", []):
        faults.append("ALLOWED_HOSTS is *: set it to the host names of the site, separated by commas.")
    return faults


def _on(env: Env, name: str, *, default: bool = False) -> bool:
    return env.bool(name) if env.str(name, "") else default


def _path(env: Env, name: str) -> Path | None:
    return Path(env.str(name)) if env.str(name, "") else None


def _database(env: Env, default: str) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = dict(dj_database_url.parse(env.str("DATABASE_URL", "") or default))
    except ValueError:  # its message may contain the URL, and so the password
        parsed = {}
    if not parsed.get("ENGINE"):
        raise ImproperlyConfigured(f"DATABASE_URL is not the URL of a database: {_REQUIRED['DATABASE_URL']}")
    return parsed


def _broker_url(env: Env, default: str) -> str:
    """Return BROKER_URL, or else REDIS_URL: a Redis needs no other name."""
    url = env.str("BROKER_URL", "") or env.str("REDIS_URL", "") or default
    name = "BROKER_URL" if env.str("BROKER_URL", "") else "REDIS_URL"
    if fault := broker.fault(url):
        raise ImproperlyConfigured(f"{name} {fault}: {_REQUIRED['REDIS_URL']}")
    return url


def _time_zone(env: Env) -> str:
    name = env.str("TIME_ZONE", "") or "UTC"
    if name not in available_timezones():
        raise ImproperlyConfigured(f"TIME_ZONE={name} is unknown: set it to an IANA name, for example Europe/Berlin.")
    return name


def _log_format(env: Env) -> str:
    name = env.str("LOG_FORMAT", "") or "text"
    if name not in ("text", "json"):
        raise ImproperlyConfigured(f"LOG_FORMAT={name} is unknown: set it to text or json.")
    return name


def _email(env: Env, default: str) -> dict[str, Any]:
    url = env.str("EMAIL_URL", "") or default
    if url.startswith("file://"):
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": url[7:]}
    parsed: dict[str, Any] = dict(dj_email_url.parse(url))
    if not parsed.get("EMAIL_BACKEND"):
        raise ImproperlyConfigured(f"EMAIL_URL is not the URL of a mail server: {_REQUIRED['EMAIL_URL']}")
    return parsed | {"EMAIL_TIMEOUT": parsed.get("EMAIL_TIMEOUT") or MAIL_TIMEOUT}
