"""Base class of artifact stores, with defaults that suit any Django storage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.core.files.storage import Storage

from durable import clock


class Store(Storage):
    """A storage of private files, as a mixin for another storage: `class Elsewhere(Store, SomeStorage)`.

    `save` stores a complete file under its key, or nothing. Every failure is an OSError: a FileNotFoundError if the
    file does not exist and nothing else is wrong, and one with ENOSPC if there is no space left.
    """

    here = True
    """Files are local and can be read at any offset at no cost, so reading one twice does not require fetching it."""

    @property
    def place(self) -> str:
        """Where the files are, in words for operators."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def listing(self, folder: str = "") -> Iterator[tuple[str, datetime]]:
        """Yield every key in a folder and its subfolders, with the time of its last change (aware)."""
        try:
            folders, names = self.listdir(folder or ".")
        except FileNotFoundError:
            return
        prefix = f"{folder}/" if folder else ""
        for name in names:
            yield prefix + name, self._changed(prefix + name)
        for name in folders:
            yield from self.listing(prefix + name)

    def _changed(self, key: str) -> datetime:
        try:
            return clock.aware(self.get_modified_time(key))
        except FileNotFoundError:  # removed since it was listed
            return clock.now()

    def link(self, key: str, filename: str, content_type: str, seconds: int) -> str | None:
        """Return a URL that serves this file, under this name, to any client for `seconds`; None if there is none."""
        return None

    def is_public(self, key: str) -> bool:
        """Return whether the file can be read by its key alone."""
        return False

    def drop_unfinished(self, before: datetime) -> int:
        """Abort unfinished uploads that began before that moment. Return their number."""
        return 0
