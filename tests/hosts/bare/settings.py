"""The minimal site on a machine without the optional libraries."""

import sys

BLOCKED = (
    "apprise", "boto3", "botocore", "django_stubs_ext", "environs", "fontTools", "http_ece", "httpcore", "psycopg",
    "psycopg2", "py_vapid", "pyarrow", "pydyf", "redis", "rich", "storages", "weasyprint",
)  # fmt: skip
for name in BLOCKED:
    sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails, and find_spec does not find it

from tests.hosts.minimal.settings import *  # noqa: E402, F403
