"""Versions of the measured software."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import psycopg

PACKAGES = (
    "django", "celery", "psycopg", "weasyprint", "isal", "pyarrow", "rustpy-xlsxwriter", "xlsxwriter", "reportlab",
    "django-import-export", "tablib", "openpyxl",
)  # fmt: skip


def versions(database_url: str) -> dict[str, str]:
    """Return versions by name. Packages that are not installed are left out."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return found | {"PostgreSQL": str(row[0]) if row else "?"}
