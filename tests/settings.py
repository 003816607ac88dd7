"""The site's own settings, with the tests' flights beside the shop and passwords that cost no time."""

import os

from config.settings import *  # noqa: F403
from config.settings import DURABLE, INSTALLED_APPS, STATIC_ROOT, STORAGES

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
