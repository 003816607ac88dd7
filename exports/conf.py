"""Typed settings of the exports app: keys of the `CARRYALL` dict."""

import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.apps import apps
from django.conf import settings

from durable.conf import app_settings, read

REQUIRED_APPS = (
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "durable",
    "notifications",
)


def missing_apps() -> list[str]:
    """Return the apps that this one needs and that are not installed. Their models must not be imported."""
    return [name for name in REQUIRED_APPS if not apps.is_installed(name)]


@app_settings
@dataclass(frozen=True)
class ExportSettings:
    """All settings, with their defaults."""

    scratch_dir: Path = field(default_factory=lambda: _data_folder() / "scratch")
    """Folder where a worker writes a file before it moves to the storage: an absolute path, on a local disk."""
    storage_alias: str | None = field(default_factory=lambda: "exports" if "exports" in settings.STORAGES else None)
    """Entry of STORAGES for finished files: "exports", if there is such an entry. None means `artifact_dir`."""
    artifact_dir: Path = field(default_factory=lambda: _data_folder() / "artifacts")
    """Folder of finished files without an entry of STORAGES: an absolute path, on a disk that all processes share."""
    link_seconds: int = 60
    """Lifetime of the link to a file, if the storage serves files itself (S3)."""
    keep_days: float = 7.0
    """Days from READY until the file expires."""
    remind_before: timedelta = timedelta(hours=24)
    """Time before expiry at which the owner is reminded of a file that was never downloaded."""
    part_seconds: float = 2.0
    """Planned duration of a part in seconds, by the rates measured on this site."""
    rows_per_part: int | None = None
    """Fixed number of rows per part; None plans by `part_seconds`."""
    window: int | None = None
    """Parts in flight over all owners. None: one more than the workers that are alive can run at once, so that no
    worker is idle, and a part of another owner waits for one part to end, not for several. Small exports have a window
    of their own, and exports being planned a third."""
    small_rows: int = 1_000
    """An export of at most this many rows is small: the worker of short tasks renders and assembles it."""
    max_open_per_user: int = 10
    max_per_hour: int = 60
    """Requests and retries per owner. Retries by an operator do not count."""
    retry_pause: float = 5.0
    """Seconds from the end of an export until its owner may retry it."""
    max_attempts: int = 5
    progress_every: float = 0.5
    """Seconds between two writes of a running part's progress."""
    orphan_age: timedelta = timedelta(hours=6)
    """Minimum age of an orphan. A younger unreferenced file in the storage may be about to get its reference."""
    history_days: int = 365
    """Days after which the row of a finished export is deleted, long after its file."""
    result_keep_days: int = 30
    metrics_token: str = ""
    """The bearer token that opens the page of metrics (docs/how-to/metrics.md). Without one, there is no page."""
    controller: str = ""
    """Who is responsible for the data, with an address: "Shop Ltd, Street 1, Town, privacy@shop.example". Bundles name
    it, with the owner's rights."""


def _data_folder() -> Path:
    """Return a folder in BASE_DIR, which projects from startproject have. The working directory does not matter."""
    return Path(getattr(settings, "BASE_DIR", tempfile.gettempdir())).absolute() / "var" / "carryall"


def export_settings() -> ExportSettings:
    """Return the current settings."""
    return read(ExportSettings)
