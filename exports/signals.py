"""Signal receivers: the deletion of a row also deletes its file."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from durable.databases import on_commit
from exports.models import Export, Part, UsageReport, Volume
from exports.storage import artifacts


@receiver(post_delete, sender=Export)
@receiver(post_delete, sender=Part)
@receiver(post_delete, sender=Volume)
@receiver(post_delete, sender=UsageReport)
def remove_file(instance: Export | Part | Volume | UsageReport, **_: Any) -> None:
    """Delete the file after the commit. If that fails, the file is an orphan, which the purge removes."""
    if instance.artifact:
        artifact = instance.artifact
        on_commit(type(instance), lambda: artifacts.delete([artifact]))
