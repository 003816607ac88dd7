"""Exports, parts, downloads, and what runs by the clock. Facts that travel together are constrained together."""

from exports.models.download import Download
from exports.models.export import Export, ExportQuerySet
from exports.models.operations import Slot, UsageReport
from exports.models.part import Part, PartQuerySet

__all__ = ["Download", "Export", "ExportQuerySet", "Part", "PartQuerySet", "Slot", "UsageReport"]
