"""The contract of a store of artifacts, with an answer that any of Django's storages can give."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.core.files.storage import Storage
from django.utils import timezone


class Store(Storage):
    """A storage of private files. Put it before another one: `class Elsewhere(Store, SomeStorage)`.

    `save` leaves a file whole under its key, or nothing there. Every failure is an OSError: a FileNotFoundError when
    there is no such file and nothing else is wrong, and one with ENOSPC when there is no room.
    """

    here = True
    """Files can be read at any place at once, at no cost: there is no need to fetch one before it is read twice."""

    def listing(self, folder: str = "") -> Iterator[tuple[str, datetime]]:
        """Every key in a folder, and below it, with the moment it was last changed (aware)."""
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
            return self.get_modified_time(key)
        except FileNotFoundError:  # removed between the listing and the look
            return timezone.now()

    def link(self, key: str, filename: str, content_type: str, seconds: int) -> str | None:
        """An address that gives out this file, under this name, to whoever has it, for so long. None: it has none."""
        return None

    def is_public(self, key: str) -> bool:
        """May anybody read this file who knows its key?"""
        return False

    def drop_unfinished(self, before: datetime) -> int:
        """Give up uploads that were begun before that moment and never ended. Returns how many."""
        return 0
