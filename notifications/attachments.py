"""The storage of attachments: an entry of STORAGES, or the storage of the app that attaches files."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage, storages

from notifications.conf import notification_settings

_offered: list[Callable[[], Storage]] = []


def offer_attachments(storage: Callable[[], Storage]) -> None:
    """Use this storage where CARRYALL has no ATTACHMENT_STORAGE. It is called for each attachment."""
    _offered[:] = [storage]


def storage() -> Storage:
    """Return the storage of attachments. Raises ImproperlyConfigured if there is none."""
    alias = notification_settings().attachment_storage
    if alias is not None:
        return storages[alias]
    if not _offered:
        raise ImproperlyConfigured("No storage has attachments: set CARRYALL['ATTACHMENT_STORAGE'] to one of STORAGES.")
    return _offered[0]()
