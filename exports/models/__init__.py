"""Models of exports, parts, downloads and scheduled work. Related fields are constrained together."""

from exports.models.download import Download
from exports.models.export import Content, Export, ExportQuerySet, Volume
from exports.models.operations import Slot, UsageReport
from exports.models.part import Part, PartQuerySet
from exports.models.quota import OwnerLock, QuotaUse

__all__ = [
    "Content", "Download", "Export", "ExportQuerySet", "OwnerLock", "Part", "PartQuerySet", "QuotaUse", "Slot",
    "UsageReport", "Volume",
]  # fmt: skip
