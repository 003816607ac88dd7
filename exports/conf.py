"""Typed settings of the exports app over one `EXPORTS` dict, read live so that override_settings works."""

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
    """Every setting, with its default."""

    scratch_dir: Path = field(default_factory=lambda: _project_folder() / "var" / "scratch")
    """Where a worker writes before a file goes to the storage: an absolute path, on a disk of its own machine."""
    storage_alias: str = "exports"
    link_seconds: int = 60
    """For how long the link to a file is good where the storage gives files out itself (S3)."""
    user_time_zone: str | None = None
    """Dotted path of `time_zone(user) -> str`, an IANA name; None takes settings.TIME_ZONE."""
    keep_days: float = 7.0
    """Days from READY until the file expires."""
    remind_before: timedelta = timedelta(hours=24)
    """A file that expires this soon and was never downloaded is worth a reminder."""
    part_seconds: float = 2.0
    """Seconds of work that a part is planned to be, by what this site has measured."""
    rows_per_part: int | None = None
    """Rows of one part, whatever it takes; None plans by `part_seconds`."""
    window: int = 3
    """Parts in flight over all owners: one more than the workers can do at once, so that none of them idles and a part
    of somebody else waits for one to end, not for several. Small exports have a second window of the same size, and
    exports that are being planned have a third one."""
    small_rows: int = 1_000
    """An export of no more rows is small: it is rendered and joined by the worker of all that is short."""
    max_open_per_user: int = 10
    max_per_hour: int = 60
    """Requests and retries of one owner; what an operator retries does not count."""
    retry_pause: float = 5.0
    """Seconds from the end of an export until its owner may try it again."""
    max_attempts: int = 5
    progress_every: float = 0.5
    """Seconds between two writes of a running part's progress."""
    orphan_age: timedelta = timedelta(hours=6)
    """An unreferenced file in the storage is an orphan only when it is older; a worker may be about to point to it."""
    history_days: int = 365
    """Days after which a finished export's row goes, long after its file."""
    result_keep_days: int = 30

    def time_zone_of(self, user: AbstractBaseUser) -> str:
        """The IANA name of the zone that this user's days begin and end in."""
        if self.user_time_zone is None:
            return str(settings.TIME_ZONE)
        return str(import_string(self.user_time_zone)(user))

    def zone_of(self, user: AbstractBaseUser) -> ZoneInfo:
        """That zone; the site's own when there is none of the name, which must not shut the user out of every page."""
        try:
            return ZoneInfo(self.time_zone_of(user))
        except (KeyError, ValueError, OSError):  # unknown; leading out of the zones' folder; itself a folder
            return ZoneInfo(str(settings.TIME_ZONE))


def _project_folder() -> Path:
    """BASE_DIR, which every started project has, so that the working directory of a process does not matter."""
    return Path(getattr(settings, "BASE_DIR", tempfile.gettempdir())).absolute()


def export_settings() -> ExportSettings:
    """The settings as they are now. Raises TypeError on a key that does not exist."""
    given: dict[str, Any] = getattr(settings, "EXPORTS", {})
    return ExportSettings(**{key.lower(): value for key, value in given.items()})
