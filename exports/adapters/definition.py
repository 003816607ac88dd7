"""What all adapters share: whose rows a dataset has, its class, and columns that an object of the site computes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Manager, Model, QuerySet

from exports.datasets import Column, Dataset, KeyRange, RowStream, Selection
from exports.datasets.inferred import EVERY_FIELD
from exports.datasets.owners import Owner, nobody
from exports.datasets.paths import suggested

ATTRIBUTES = [
    name
    for name, kind in inspect.get_annotations(Dataset).items()
    if str(kind).startswith("ClassVar") and name not in ("model", "owner", "columns")
]
"""The attributes of a dataset that adapters take as keywords."""
NUMBERS = count(1)
"""Tell apart datasets of the same source: a registry takes classes with the same name for the same class."""
KEPT = "carryall_kept"
"""An attribute of the instances of rows."""


class Computed:
    """The function of a column that an object of the site computes: `compute(computer, row)`.

    Each stream of rows has a computer of its own, so that what it keeps is neither old nor of another owner.
    """

    def __init__(self, compute: Callable[[Any, Any], Any]) -> None:
        self.compute = compute

    def __call__(self, row: Any) -> Any:
        raise NotImplementedError("A computed column is read through the source() of its dataset.")


class Adapted(Dataset):
    """The base class of the datasets that adapters make."""

    definition: ClassVar[Definition]
    computer: ClassVar[Callable[[Any], Any] | None] = None
    """Returns the object that computes columns, for an owner."""

    def _rows_of_all(self) -> QuerySet[Any]:
        return self.definition.rows_of_all()

    def source(self, selection: Selection, columns: Sequence[Column], keys: KeyRange | None) -> RowStream:
        kind = type(self)
        if kind.computer is not None and any(isinstance(column.function, Computed) for column in columns):
            computer = kind.computer(selection.owner)
            columns = [_bound(column, computer) for column in columns]
        return super().source(selection, columns, keys)


class AdaptedByFunction(Adapted):
    """The same, with rows that a function returns for a user."""

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return self.definition.rows_of(user)


def _bound(column: Column, computer: Any) -> Column:
    if not isinstance(column.function, Computed):
        return column
    return replace(column, function=partial(column.function.compute, computer))


def once(row: Any, compute: Callable[[Any], Any]) -> Any:
    """Return `compute(row)`, which is called once for each instance."""
    kept = vars(row)
    if KEPT not in kept:
        kept[KEPT] = compute(row)
    return kept[KEPT]


def _unchanged(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows


@dataclass(frozen=True)
class Definition:
    """The arguments of an adapter. Raises ImproperlyConfigured if they do not say whose rows the dataset has.

    `call` names the adapter and its source in errors. `queryset` is a queryset or a manager, which `owner` narrows to
    one user; or a function of a user; or None for the rows of `default`. All rows pass through `change`.
    """

    call: str
    queryset: Any
    owner: Owner | None
    attributes: Mapping[str, Any]
    default: Callable[[], Any] | None = None
    change: Callable[[QuerySet[Any]], QuerySet[Any]] = _unchanged

    def __post_init__(self) -> None:
        for name in self.attributes:
            if name not in ATTRIBUTES:
                raise self.refused(f"does not know {name!r}.{suggested(name, ATTRIBUTES)}")
        if self._by_function and self.owner is not None:
            raise self.refused("has an owner and a function as queryset, which chooses the rows: leave one of them out")
        if not self._by_function and self.owner is None:
            raise self.refused(
                'does not say whose rows it has: set owner to the path to the user, as in owner="user", or to '
                "EVERYBODY, or set queryset to a function that returns the rows of a user"
            )

    @property
    def _by_function(self) -> bool:
        return callable(self.queryset) and not isinstance(self.queryset, type)

    def refused(self, why: str) -> ImproperlyConfigured:
        """Return the error of a call that makes no dataset. `why` continues a sentence about the call."""
        return ImproperlyConfigured(f"{self.call} {why.rstrip('.')}.")

    @contextmanager
    def calling(self, what: str, advice: str) -> Iterator[None]:
        """Raise ImproperlyConfigured, with the advice, if the site's own code fails in the block."""
        try:
            yield
        except ImproperlyConfigured:
            raise
        except Exception as error:
            raise self.refused(f"cannot use {what} ({error!r}): {advice}") from error

    def rows_of_all(self) -> QuerySet[Any]:
        """Return the rows of all owners, as `owner` narrows them."""
        return self._fit(self.default() if self.queryset is None and self.default else self.queryset)

    def rows_of(self, user: Any) -> QuerySet[Any]:
        """Return the rows that the function returns for a user."""
        return self._fit(self.queryset(user))

    def example(self) -> QuerySet[Any]:
        """Return rows to take the columns from: those of all, or of a user who is not in the database."""
        if not self._by_function:
            return self.rows_of_all()
        with self.calling(
            "queryset for a user that is not in the database",
            "the columns are taken from these rows, so return none() of the model for such a user",
        ):
            return self.rows_of(nobody(self.attributes.get("owner_model")))

    def _fit(self, rows: Any) -> QuerySet[Any]:
        if isinstance(rows, Manager):
            rows = rows.all()
        if not isinstance(rows, QuerySet):
            raise self.refused(f"has no queryset, but {rows!r}: give one, as in Order.objects.all()")
        if rows.query.is_sliced or rows.query.combinator:
            raise self.refused("has a slice or a union, which cannot be narrowed: filter the rows instead")
        return self.change(rows.all())

    def dataset(
        self, name: str, columns: Sequence[Any], model: type[Model], computer: Callable[[Any], Any] | None = None
    ) -> type[Dataset]:
        """Return the dataset class with these columns, without those that `exclude` names."""
        attributes, exclude = dict(self.attributes), set(self.attributes.get("exclude", ()))
        shown = {column.name: column for column in columns if isinstance(column, Column)}
        if EVERY_FIELD not in columns:  # it excludes fields by itself
            for unknown in exclude - set(shown):
                raise self.refused(f"excludes {unknown!r}, which is none of its columns.{suggested(unknown, shown)}")
        attributes["exclude"] = exclude - set(shown)
        body = {
            **attributes,
            "columns": tuple(column for column in columns if getattr(column, "name", "") not in exclude),
            "model": model,
            "owner": self.owner,
            "definition": self,
            "computer": computer and staticmethod(computer),
            "__module__": __package__,
            "__qualname__": f"{self.call}#{next(NUMBERS)}",
        }
        return type(name, (AdaptedByFunction if self._by_function else Adapted,), body)
