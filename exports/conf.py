"""Typed settings of the exports app, from the `EXPORTS` dict. They are read live, so that override_settings works."""

import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.module_loading import import_string


@dataclass(frozen=True)
class ExportSettings:
    """All settings, with their defaults."""

    scratch_dir: Path = field(default_factory=lambda: _project_folder() / "var" / "scratch")
    """Folder where a worker writes a file before it moves to the storage: an absolute path, on a local disk."""
    storage_alias: str = "exports"
    link_seconds: int = 60
    """Lifetime of the link to a file, if the storage serves files itself (S3)."""
    user_time_zone: str | None = None
    """Dotted path of `time_zone(user) -> str`, which returns an IANA name; None means settings.TIME_ZONE."""
    keep_days: float = 7.0
    """Days from READY until the file expires."""
    remind_before: timedelta = timedelta(hours=24)
    """Time before expiry at which the owner is reminded of a file that was never downloaded."""
    part_seconds: float = 2.0
    """Planned duration of a part in seconds, by the rates measured on this site."""
    rows_per_part: int | None = None
    """Fixed number of rows per part; None plans by `part_seconds`."""
    window: int = 3
    """Parts in flight over all owners: one more than the workers can run at once, so that no worker is idle and a part
    of another owner waits for one part to end, not for several. Small exports have a second window of the same size,
    and exports being planned a third."""
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

    def time_zone_of(self, user: AbstractBaseUser) -> str:
        """Return the IANA name of the user's time zone."""
        if self.user_time_zone is None:
            return str(settings.TIME_ZONE)
        return str(import_string(self.user_time_zone)(user))

    def zone_of(self, user: AbstractBaseUser) -> ZoneInfo:
        """Return the user's time zone, or the site's if the name is invalid, so that no page fails."""
        try:
            return ZoneInfo(self.time_zone_of(user))
        except (KeyError, ValueError, OSError):  # unknown; outside the folder of zones; a folder itself
            return ZoneInfo(str(settings.TIME_ZONE))


def _project_folder() -> Path:
    """Return BASE_DIR, as in a project from startproject, so that the working directory does not matter."""
    return Path(getattr(settings, "BASE_DIR", tempfile.gettempdir())).absolute()


def export_settings() -> ExportSettings:
    """Return the current settings. Raises TypeError for an unknown key."""
    given: dict[str, Any] = getattr(settings, "EXPORTS", {})
    return ExportSettings(**{key.lower(): value for key, value in given.items()})
