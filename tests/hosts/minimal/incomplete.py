"""The settings of the minimal site without the pieces that the environment variable WITHOUT names."""

import os

from tests.hosts.minimal.settings import *  # noqa: F403
from tests.hosts.minimal.settings import INSTALLED_APPS, MIDDLEWARE

WITHOUT = os.environ["WITHOUT"].split(",")
INSTALLED_APPS = [name for name in INSTALLED_APPS if name not in WITHOUT]
MIDDLEWARE = [name for name in MIDDLEWARE if name not in WITHOUT]
if "CARRYALL" in WITHOUT:
    del CARRYALL  # noqa: F821
