"""Datasets made of what a site has already: resources, serializers and querysets. docs/how-to/adapters.md has examples.

Each function returns a Dataset class to register. `owner` is the path from the rows to the user, or EVERYBODY; or
`queryset` is a function that returns the rows of a user. Other keywords become attributes of the class: `key`, `label`,
`date_field`, `params` and so on. All raise ImproperlyConfigured, with the fix, for arguments that make no dataset.
None runs a query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Manager, QuerySet

from exports.adapters import querysets
from exports.datasets import Dataset
from exports.datasets.owners import Owner

Rows = QuerySet[Any, Any] | Manager[Any]
RowsOf = Callable[[Any], QuerySet[Any, Any]]
"""Returns the rows of a user, and no others."""


def dataset_from_resource(
    resource: type[Any], *, owner: Owner | None = None, queryset: Rows | RowsOf | None = None, **attributes: Any
) -> type[Dataset]:
    """Return a dataset with the columns of a ModelResource of django-import-export.

    The rows are those of the resource's `get_queryset`, or of `queryset`, through its `filter_export`.
    """
    with needing("import_export", "django-import-export"):
        from exports.adapters.resources import dataset_of
    return dataset_of(resource, queryset, owner, attributes)


def dataset_from_serializer(
    serializer: type[Any], *, owner: Owner | None = None, queryset: Rows | RowsOf | None = None, **attributes: Any
) -> type[Dataset]:
    """Return a dataset with the columns of a Serializer of Django REST framework.

    The rows are those of `queryset`. Without it, they are those of the default manager of a ModelSerializer's model.
    """
    with needing("rest_framework", "djangorestframework"):
        from exports.adapters.serializers import dataset_of
    return dataset_of(serializer, queryset, owner, attributes)


def dataset_from_queryset(queryset: Rows | RowsOf, *, owner: Owner | None = None, **attributes: Any) -> type[Dataset]:
    """Return a dataset with the columns that `values()` names, or else with all fields and annotations of the rows."""
    return querysets.dataset_of(queryset, owner, attributes)


@contextmanager
def needing(library: str, package: str) -> Iterator[None]:
    """Raise ImproperlyConfigured, with the command that installs `package`, if the block lacks `library`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != library:
            raise
        raise ImproperlyConfigured(f"{package} is not installed: run `pip install {package}`.") from error
