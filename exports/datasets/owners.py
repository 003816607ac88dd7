"""The rows of one owner: `owner` of a dataset as a queryset, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.models import Model, Q, QuerySet

from exports.datasets.paths import UnknownName, follow


class Everybody(Enum):
    """The type of EVERYBODY."""

    EVERYBODY = "everybody"


EVERYBODY: Final = Everybody.EVERYBODY
"""For `owner`: every user may see all rows, such as a price list."""
Owner = str | Sequence[str] | Everybody
"""A path from the model to its owner, several of them, or EVERYBODY."""


def nobody(owner_model: type[Model] | None = None) -> Any:
    """Return an owner that is not in the database: a user, or an instance of `owner_model`."""
    owner: Any = (owner_model or get_user_model())()
    if owner.pk is None:
        owner.pk = owner._meta.pk.to_python(0)
    return owner


def rows_of(rows: QuerySet[Any], owner: Owner, user: Any) -> QuerySet[Any]:
    """Return those of `rows` that belong to `user` by any path of `owner`, each once."""
    if isinstance(owner, Everybody):
        return rows
    wanted = Q()
    for path in _paths(owner):
        wanted |= _condition(rows.model, path, user)
    return rows.filter(wanted)


def faults(model: type[Model], owner: Owner, owner_model: type[Model] | None) -> list[str]:
    """Return one sentence, with a fix, for each path that does not lead to `owner_model`, or else to the user."""
    if isinstance(owner, Everybody):
        return []
    paths = _paths(owner)
    return (
        list(_faults(model, paths, owner_model or get_user_model()))
        if paths
        else ["owner is empty: name the path to the owner."]
    )


def only_field(owner: Owner | None) -> str | None:
    """Return the field of the model that every row has the same value in, because it names the owner, if there is one.

    With several paths, the fields tell which of them applies.
    """
    paths = _paths(owner) if isinstance(owner, str | Sequence) else []
    return paths[0] if len(paths) == 1 else None


def _paths(owner: str | Sequence[str]) -> list[str]:
    return [owner] if isinstance(owner, str) else list(owner)


def _condition(model: type[Model], path: str, user: Any) -> Q:
    step = follow(model, path)
    found = Q(**{path: user if step.field.is_relation else user.pk})
    # A join over a relation with many rows would repeat a row for each of them.
    return Q(pk__in=model._base_manager.filter(found).values("pk")) if step.many else found


def _faults(model: type[Model], paths: Sequence[str], user: type[Model]) -> Iterator[str]:
    for path in paths:
        try:
            step = follow(model, path)
        except UnknownName as unknown:
            yield f"owner is {path!r}, which cannot be followed: {unknown}"
            continue
        if step.rest:
            yield f"owner is {path!r}, but {step.field.name!r} is no relation: stop there, or write queryset()."
        elif not step.field.is_relation:
            if not (step.field.primary_key and issubclass(user, step.field.model)):
                yield f"owner is {path!r}, which is no relation to {user.__name__}: name one, or write queryset()."
        elif not _leads_to(step.field.related_model, user):
            yield f"owner is {path!r}, which leads to {_name(step.field.related_model)}, not to {user.__name__}." + (
                _further(path, step.field.related_model, user)
            )


def _leads_to(model: Any, user: type[Model]) -> bool:
    return model is not None and (issubclass(user, model) or issubclass(model, user))


def _further(path: str, model: Any, user: type[Model]) -> str:
    """Return how to go on from `model` to the user, if one of its relations leads there."""
    fields = [] if model is None else model._meta.get_fields()
    near = [f"{path}__{field.name}" for field in fields if field.is_relation and _leads_to(field.related_model, user)]
    return f" Did you mean {' or '.join(map(repr, near[:2]))}?" if near else f" Name the path to {user.__name__}."


def _name(model: Any) -> str:
    return "any model" if model is None else model.__name__
