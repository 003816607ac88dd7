"""Download: a record of the user, artifact, time and completion of a download."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from durable.clock import Now
from durable.databases import PrimaryQuerySet
from durable.fields import UserForeignKey, UTCDateTimeField
from exports.models.export import Export


class Download(models.Model):
    """One download of an artifact by its owner. `finished_at` is set once the whole file was sent."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="downloads", db_index=False)
    user = UserForeignKey()
    volume = models.PositiveIntegerField(default=1, db_default=1, help_text=_("Which of the export's files."))
    started_at = UTCDateTimeField(db_default=Now())
    finished_at = UTCDateTimeField(null=True, blank=True)

    objects: ClassVar[PrimaryQuerySet[Download]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("download")
        indexes: ClassVar = [models.Index(fields=["export", "finished_at"], name="download_of_export")]

    def __str__(self) -> str:
        return f"download of export {self.export_id}"
