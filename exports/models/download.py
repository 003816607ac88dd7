"""Download: a record of the user, artifact, time and completion of a download."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from exports.models.export import Export


class Download(models.Model):
    """One download of an artifact by its owner. `finished_at` is set once the whole file was sent."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="downloads", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    volume = models.PositiveIntegerField(default=1, db_default=1, help_text=_("Which of the export's files."))
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("download")
        indexes: ClassVar = [models.Index(fields=["export", "finished_at"], name="download_of_export")]

    def __str__(self) -> str:
        return f"download of export {self.export_id}"
