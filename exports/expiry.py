"""The end of a ready export's files: its row and those of its volumes let go of them in one move."""

from __future__ import annotations

from django.db import transaction

from exports.models import ExportQuerySet, Volume
from exports.states import State


def expire(exports: ExportQuerySet, **fields: object) -> list[str]:
    """Move the one export of `exports` from READY to EXPIRED, and write `fields`.

    Returns the keys of its files, to be removed once that has committed; none when somebody else was first.
    """
    with transaction.atomic():
        ready = exports.filter(state=State.READY)
        found = list(ready.values_list("pk", "artifact")[:1])
        volumes = Volume.objects.filter(export__in=[pk for pk, _ in found])
        keys = [*(key for _, key in found), *volumes.values_list("artifact", flat=True)]
        if not ready.move(State.EXPIRED, artifact="", **fields):
            return []
        volumes.update(artifact="")
    return keys
