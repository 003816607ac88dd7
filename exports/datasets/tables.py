"""Tables of an export: a dataset, and in formats without objects one more for each of its nested columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils.text import format_lazy

from exports.datasets.base import Dataset
from exports.datasets.columns import Column
from exports.datasets.nested import Nested, key_column, shown_key
from exports.models.selection import Selection


class NestedTable(Dataset):
    """The rows of a nested column as a dataset: those that belong to the selected rows of its parent, each once.

    It is not registered and cannot be requested. `datasets.get` finds it by its key, such as "orders.lines".
    """

    def __init__(self, parent: Dataset, nested: Nested) -> None:
        self.parent, self.relation = parent, nested.bound(parent.model_of_rows).bound_relation
        label = format_lazy("{}: {}", parent.label, nested.label)
        vars(self).update(key=f"{parent.key}.{nested.name}", label=label, columns=self.relation.keyed)
        super().__init__()

    def _missing(self) -> Iterator[str]:
        return iter(())

    @property
    def home(self) -> str:
        return self.parent.key

    def keys(self, own: Sequence[Column], parents: Sequence[Column]) -> tuple[str, str]:
        """Return the names of the columns with the parent's key, in this table and in that of the parent."""
        return self.relation.shown_key(own) or own[0].name, shown_key(parents, self.parent.model_of_rows)

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return self.relation.of(self.parent.queryset(user))

    def permitted(self, user: AbstractBaseUser) -> bool:
        return self.parent.permitted(user)

    def selected(self, selection: Selection) -> QuerySet[Any]:
        return self.relation.of(self.parent.selected(selection))


def tables(dataset: Dataset, columns: Sequence[Column], *, objects: bool) -> list[tuple[Dataset, list[Column]]]:
    """Return the tables that hold `columns`, which `Dataset.choose` returned, each with its own columns.

    It is the dataset alone if the format holds `objects`, or if no column is nested. Otherwise it is the dataset with
    its other columns, which include its key, and a table for each nested column.
    """
    nested = [column for column in columns if isinstance(column, Nested)]
    if objects or not nested:
        return [(dataset, list(columns))]
    own = (dataset, flat_columns(dataset, columns))
    children = [NestedTable(dataset, column) for column in nested]
    return [own, *((child, list(child.columns)) for child in children)]


def flat_columns(dataset: Dataset, columns: Sequence[Column]) -> list[Column]:
    """Return the columns that are not nested. If there are nested ones, the key of the rows is or becomes a column."""
    plain = [column for column in columns if not isinstance(column, Nested)]
    if len(plain) == len(columns) or shown_key(plain, dataset.model_of_rows):
        return plain
    return [key_column(dataset.model_of_rows), *plain]
