"""The site's own settings, with the tests' flights beside the shop and passwords that cost no time."""

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

if os.environ.get("QUICK_LEASES"):  # whole sites under test: the same mechanism, with less waiting
    DURABLE = DURABLE | {"LEASE_SECONDS": 6, "RENEW_EVERY": 2, "SWEEP_EVERY": 1, "REPUBLISH_AFTER": 5}
else:  # pages without a server: no static files are collected
    STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)


def _given(**keys: Callable[[str], Any]) -> dict[str, Any]:
    """The settings, by key, that whoever starts a site under test has set in its environment."""
    return {key: read(os.environ[key]) for key, read in keys.items() if key in os.environ}


DURABLE = DURABLE | _given(
    MACHINE=str, LEASE_SECONDS=float, RENEW_EVERY=float, REPUBLISH_AFTER=float, BACKOFF_FIRST=float
)
EXPORTS = EXPORTS | {"RETRY_PAUSE": 0}  # the pause has its own tests
EXPORTS = EXPORTS | _given(ROWS_PER_PART=int, SMALL_ROWS=int, MAX_ATTEMPTS=int, MAX_PER_HOUR=int, MAX_OPEN_PER_USER=int)
NOTIFICATIONS = NOTIFICATIONS | _given(MAIL_PATIENCE=float)
if "POISON" in os.environ:  # the contract tests read every dataset, and these kill who reads them
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.poison"]
KILL_POINTS = os.environ.get("KILL_POINTS", "")  # a folder: see tests/support/points.py
FAULTY_STORAGE = os.environ.get("FAULTY_STORAGE", "")  # a file: see tests/support/storages.py
if FAULTY_STORAGE:
    _store: Any = STORAGES["exports"]
    _faulty = "tests.support.storages.Faulty" + _store["BACKEND"].rpartition(".Artifact")[2]
    STORAGES = STORAGES | {"exports": _store | {"BACKEND": _faulty}}
