"""The site that the chaos runs on: production's leases unless they are to be quick, and no person's limits."""

from tests.settings import *  # noqa: F403
from tests.settings import EXPORTS, INSTALLED_APPS, STORAGES, _given

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos"]
EXPORTS = EXPORTS | {"MAX_PER_HOUR": 1_000_000, "MAX_OPEN_PER_USER": 10_000} | _given(WINDOW=int, SMALL_ROWS=int)
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
