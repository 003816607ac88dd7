"""Paths of model fields, as in "user__profile__city", and suggestions for those that do not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP


class UnknownName(Exception):
    """A path has a name that its model lacks. The message is one sentence, with a suggestion."""


class Step(NamedTuple):
    """Where a path leads. `field` is its last field or relation; `rest` are names after a field, such as a transform.

    `many` is the name of the first relation on the way that may have several rows for one, or an empty string.
    """

    field: Any
    rest: str
    many: str


def follow(model: type[Model], path: str) -> Step:
    """Return the field at the end of `path`. Raises UnknownName."""
    names, here, field, many = path.split(LOOKUP_SEP), model, None, ""
    for place, name in enumerate(names):
        field = here._meta.pk if name == "pk" else _field(here, name)
        if getattr(field, "many_to_many", False) or getattr(field, "one_to_many", False):
            many = many or name
        if not field.is_relation or field.related_model is None:
            return Step(field, LOOKUP_SEP.join(names[place + 1 :]), many)
        here = field.related_model
    return Step(field, "", many)


def _field(model: type[Model], name: str) -> Any:
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        raise UnknownName(f"{model.__name__} has no field {name!r}.{suggested(name, names_of(model))}") from None


def names_of(model: type[Model]) -> list[str]:
    """Return the names that a path may have on this model."""
    return [field.name for field in model._meta.get_fields()]


def suggested(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" with the known name most like `name`, or " Choose from: …" if none is like it."""
    every = list(known)
    if near := get_close_matches(name, every, n=1):
        return f" Did you mean {near[0]!r}?"
    return f" Choose from: {', '.join(every)}." if every else ""
