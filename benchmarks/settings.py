"""The site's own settings, with the ledger that is measured beside the shop."""

import os

from config.settings import *  # noqa: F403
from config.settings import EXPORTS, INSTALLED_APPS, ROOT_URLCONF

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.ledger"]
LEDGER_ROWS = int(os.environ.get("LEDGER_ROWS", "1000000"))
"""As many of the ledger's rows belong to everybody: how one table serves every size."""
EXPORTS = EXPORTS | {"MAX_PER_HOUR": 100_000, "MAX_OPEN_PER_USER": 100}
"""A measurement presses the button more often than a person may."""
ROOT_URLCONF = os.environ.get("BENCHMARK_URLS", ROOT_URLCONF)
"""One measurement has a view of its own."""
