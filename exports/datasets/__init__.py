"""Registry of datasets. The `datasets` module of every app is autodiscovered; docs/extending.md has an example."""

from durable.registry import Registry
from exports.datasets.base import Dataset
from exports.datasets.columns import Column, ColumnType, flat
from exports.datasets.key_ranges import KeyRange
from exports.datasets.source import Row, Source
from exports.errors import UnknownDataset

datasets: Registry[Dataset] = Registry("dataset", UnknownDataset)
register = datasets.register

__all__ = ["Column", "ColumnType", "Dataset", "KeyRange", "Row", "Source", "datasets", "flat", "register"]
