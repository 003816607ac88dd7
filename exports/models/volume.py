"""A volume: one of the further files of an export that is split; the first one is the export's own artifact."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from exports.models.export import Export


class Volume(models.Model):
    """A finished file beside the export's own; `index` counts from 2. It lives and expires with its export.

    Its row stays when the file is gone, as the export's does, and says what there was.
    """

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="volumes")
    index = models.PositiveIntegerField()
    artifact = models.CharField(max_length=255, blank=True, default="", help_text=_("Key of the file in the storage."))
    filename = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("volume")
        ordering: ClassVar = ["export", "index"]
        indexes: ClassVar = [models.Index(fields=["artifact"], name="volume_file", condition=Q(artifact__gt=""))]
        constraints: ClassVar = [models.UniqueConstraint(fields=["export", "index"], name="volume_index_once")]

    def __str__(self) -> str:
        return f"volume {self.index} of {self.export}"
