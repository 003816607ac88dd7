"""The site's settings with the apps of the tests and a fast password hasher."""

import os
from collections.abc import Callable
from typing import Any

from config.settings import *  # noqa: F403
from config.settings import CARRYALL, DATABASES, INSTALLED_APPS, SQLITE, STATIC_ROOT, STORAGES, VAR_DIR

INSTALLED_APPS = [*INSTALLED_APPS, "django_filters", "tests.flights", "tests.market", "tests.work"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

if os.environ.get("QUICK_LEASES"):  # whole sites under test: the same mechanism with shorter waits
    CARRYALL = CARRYALL | {"LEASE_SECONDS": 6, "RENEW_EVERY": 2, "SWEEP_EVERY": 1, "REPUBLISH_AFTER": 5}
else:  # pages without a server: no static files are collected
    STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)


def _from_environment(**keys: Callable[[str], Any]) -> dict[str, Any]:
    """Return the settings that are set in the environment of a site under test."""
    return {key: read(os.environ[key]) for key, read in keys.items() if key in os.environ}


match os.environ.get("CARRYALL_TEST_SITE"):  # other sites that the apps must work in: docs/how-to/databases.md
    case "naive":
        USE_TZ = False
        TIME_ZONE = "Europe/Berlin"
        DJANGO_CELERY_BEAT_TZ_AWARE = False
    case "split":
        _default = DATABASES["default"]
        _second = _default | {"NAME": f"{_default['NAME']}_carryall"}
        if "mysql" in _default["ENGINE"]:
            _second = {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "carryall.sqlite3", "OPTIONS": SQLITE}
        DATABASES = {
            "default": _default,
            "carryall": _second,
            "replica": _default | {"TEST": {"MIRROR": "default"}},
        }
        DATABASE_ROUTERS = ["tests.support.routers.Split"]

CARRYALL = CARRYALL | _from_environment(
    MACHINE=str, LEASE_SECONDS=float, RENEW_EVERY=float, REPUBLISH_AFTER=float, BACKOFF_FIRST=float
)
CARRYALL = CARRYALL | {"RETRY_PAUSE": 0}  # the pause has its own tests
CARRYALL = CARRYALL | _from_environment(
    ROWS_PER_PART=int, SMALL_ROWS=int, MAX_ATTEMPTS=int, MAX_PER_HOUR=int, MAX_OPEN_PER_USER=int
)
CARRYALL = CARRYALL | _from_environment(MAIL_PATIENCE=float)
# Not by default: contract tests read every dataset, and these kill the process that reads them.
if "POISON" in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.poison"]
KILL_POINTS = os.environ.get("KILL_POINTS", "")  # a folder: see tests/support/points.py
FAULTY_STORAGE = os.environ.get("FAULTY_STORAGE", "")  # a file: see tests/support/storages.py
if FAULTY_STORAGE:
    _store: Any = STORAGES["exports"]
    _faulty = "tests.support.storages.Faulty" + _store["BACKEND"].rpartition(".Artifact")[2]
    STORAGES = STORAGES | {"exports": _store | {"BACKEND": _faulty}}
