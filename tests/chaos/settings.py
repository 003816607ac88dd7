"""Settings of a site under faults: production's leases unless QUICK_LEASES is set, and no limits per user."""

from tests.settings import *  # noqa: F403
from tests.settings import CARRYALL, INSTALLED_APPS, STORAGES, _from_environment

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos"]
CARRYALL = (
    CARRYALL | {"MAX_PER_HOUR": 1_000_000, "MAX_OPEN_PER_USER": 10_000} | _from_environment(WINDOW=int, SMALL_ROWS=int)
)
CARRYALL = CARRYALL | {"WEBHOOK_ALLOW_HTTP": True, "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"]}
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
