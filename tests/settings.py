"""The site's settings with the apps of the tests and a fast password hasher."""

import os
from collections.abc import Callable
from typing import Any

from config.settings import *  # noqa: F403
from config.settings import DURABLE, EXPORTS, INSTALLED_APPS, NOTIFICATIONS, STATIC_ROOT, STORAGES

INSTALLED_APPS = [*INSTALLED_APPS, "tests.flights", "tests.work"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

if os.environ.get("QUICK_LEASES"):  # whole sites under test: the same mechanism with shorter waits
    DURABLE = DURABLE | {"LEASE_SECONDS": 6, "RENEW_EVERY": 2, "SWEEP_EVERY": 1, "REPUBLISH_AFTER": 5}
else:  # pages without a server: no static files are collected
    STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)


def _from_environment(**keys: Callable[[str], Any]) -> dict[str, Any]:
    """Return the settings that are set in the environment of a site under test."""
    return {key: read(os.environ[key]) for key, read in keys.items() if key in os.environ}


DURABLE = DURABLE | _from_environment(
    MACHINE=str, LEASE_SECONDS=float, RENEW_EVERY=float, REPUBLISH_AFTER=float, BACKOFF_FIRST=float
)
EXPORTS = EXPORTS | {"RETRY_PAUSE": 0}  # the pause has its own tests
EXPORTS = EXPORTS | _from_environment(
    ROWS_PER_PART=int, SMALL_ROWS=int, MAX_ATTEMPTS=int, MAX_PER_HOUR=int, MAX_OPEN_PER_USER=int
)
NOTIFICATIONS = NOTIFICATIONS | _from_environment(MAIL_PATIENCE=float)
# Not by default: contract tests read every dataset, and these kill the process that reads them.
if "POISON" in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.poison"]
KILL_POINTS = os.environ.get("KILL_POINTS", "")  # a folder: see tests/support/points.py
FAULTY_STORAGE = os.environ.get("FAULTY_STORAGE", "")  # a file: see tests/support/storages.py
if FAULTY_STORAGE:
    _store: Any = STORAGES["exports"]
    _faulty = "tests.support.storages.Faulty" + _store["BACKEND"].rpartition(".Artifact")[2]
    STORAGES = STORAGES | {"exports": _store | {"BACKEND": _faulty}}
