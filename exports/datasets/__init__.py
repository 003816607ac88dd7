"""Registry of datasets. The `datasets` module of every app is autodiscovered; docs/extending.md has an example."""

from durable.registry import Registry
from exports.datasets.base import Dataset
from exports.datasets.columns import Column, ColumnType, Money, flat
from exports.datasets.files import Files
from exports.datasets.inferred import AUTO
from exports.datasets.key_ranges import KeyRange
from exports.datasets.nested import Nested
from exports.datasets.owners import EVERYBODY
from exports.datasets.params import Choice, Day, Flag, Number, Param, Text
from exports.datasets.rows import RowsDataset
from exports.datasets.source import Source
from exports.datasets.streams import Row, RowStream
from exports.datasets.tables import NestedTable
from exports.errors import UnknownDataset
from exports.models.selection import Selection


class Datasets(Registry[Dataset]):
    """The registered datasets. `get` also returns the table of a nested column, by a key such as "orders.lines"."""

    def get(self, key: str) -> Dataset:
        parent, _, name = key.rpartition(".")
        if key in self or parent not in self:
            return super().get(key)
        dataset = super().get(parent)
        nested = (column for column in dataset.columns if isinstance(column, Nested) and column.name == name)
        return next((NestedTable(dataset, column) for column in nested), None) or super().get(key)


datasets = Datasets("dataset", UnknownDataset)
register = datasets.register

__all__ = [
    "AUTO",
    "EVERYBODY",
    "Choice",
    "Column",
    "ColumnType",
    "Dataset",
    "Day",
    "Files",
    "Flag",
    "KeyRange",
    "Money",
    "Nested",
    "Number",
    "Param",
    "Row",
    "RowStream",
    "RowsDataset",
    "Selection",
    "Source",
    "Text",
    "datasets",
    "flat",
    "register",
]
