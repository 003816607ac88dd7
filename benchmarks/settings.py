"""The site's settings with the app of the ledger."""

import os

from config.settings import *  # noqa: F403
from config.settings import CARRYALL, INSTALLED_APPS, ROOT_URLCONF

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.ledger"]
LEDGER_ROWS = int(os.environ.get("LEDGER_ROWS", "1000000"))
"""Number of ledger rows that are exported. One table serves every size."""
CARRYALL = CARRYALL | {"MAX_PER_HOUR": 100_000, "MAX_OPEN_PER_USER": 100}
"""Benchmarks request more exports than a user may."""
ROOT_URLCONF = os.environ.get("BENCHMARK_URLS", ROOT_URLCONF)
"""One benchmark adds a view (benchmarks/synchronous.py)."""
