"""Selection: which rows of a dataset an export has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exports.models.period import Period

EVERYTHING = Period()


@dataclass(frozen=True)
class Selection:
    """The rows of `owner` in `period`, narrowed by the parameters of the dataset."""

    owner: Any
    """Whose rows: a user, or an instance of the dataset's `owner_model`."""
    period: Period = EVERYTHING
    params: Mapping[str, str] = field(default_factory=dict)
    """The chosen values of the datasets' `params` by name, as text. In an export of several datasets, the names are
    those of `param_name`.
    """

    def params_of(self, dataset: str) -> dict[str, str]:
        """Return the values for this dataset by the name of the parameter."""
        mine = {name: split_name(name) for name in self.params}
        return {name: self.params[full] for full, (key, name) in mine.items() if key in ("", dataset)}


def param_name(dataset: str, name: str, *, several: bool) -> str:
    """Return the name of a parameter in a request and in its row: "status", or "orders.status" if it has several
    datasets.
    """
    return f"{dataset}.{name}" if several else name


def split_name(full: str) -> tuple[str, str]:
    """Return the key of the dataset and the name of the parameter; an empty key if `full` is only the name."""
    key, _dot, name = full.rpartition(".")
    return key, name
