"""Who may have which rows: one's own, those of a team, or those of another user on their behalf."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Model, Q, QuerySet

from exports.datasets import Dataset, datasets
from exports.models import Export
from exports.models.export import subject_model

FOR_OTHERS = "exports.export_for_others"
"""The permission to export the data of other users."""


def may_export(user: Any, dataset: Dataset, owner: Any) -> bool:
    """Return whether `user` may have the rows of `owner` in this dataset."""
    if dataset.owner_model is not None:
        belongs = isinstance(owner, dataset.owner_model) and dataset.owners(user).filter(pk=owner.pk).exists()
        return belongs and dataset.permitted(user)
    if not isinstance(owner, get_user_model()):
        return False
    if owner.pk != user.pk and not (dataset.personal and user.has_perm(FOR_OTHERS)):
        return False
    return dataset.permitted(owner)


def may_have(user: AbstractBaseUser, export: Export) -> bool:
    """Return whether `user` may have all rows of `export`. False if their owner was deleted."""
    if not user.is_active:
        return False
    owner = export.data_owner
    return owner is not None and all(may_export(user, datasets.get(key), owner) for key in export.datasets)


def visible_to(user: AbstractBaseUser) -> Q:
    """Return the condition of the exports that `user` may see: those that they requested, and those of their teams."""
    seen = Q(owner_id=user.pk)
    for model in {dataset.owner_model for dataset in datasets if dataset.owner_model is not None}:
        seen |= _of_teams(user, model)
    return seen


def _of_teams(user: AbstractBaseUser, model: type[Model]) -> Q:
    """Return the condition of the exports of the teams of `user` whose datasets all let `user` have the team's rows."""
    keys = {each.key: _keys_of(each.owners(user)) for each in datasets if each.owner_model is model}
    mine = Export.objects.filter(subject_model=subject_model(model), subject_key__in=set().union(*keys.values()))
    seen = Q(pk__in=[])
    for text in mine.order_by().values_list("dataset", flat=True).distinct():
        allowed = set.intersection(*(keys.get(key, set()) for key in text.split(",")))
        seen |= Q(subject_model=subject_model(model), subject_key__in=allowed, dataset=text)
    return seen


def _keys_of(owners: QuerySet[Any]) -> set[str]:
    return {str(key) for key in owners.values_list("pk", flat=True)}


def teams(user: AbstractBaseUser, chosen: Iterable[Dataset]) -> list[Any]:
    """Return the owners that `user` may export all of these datasets for; empty if they belong to users."""
    found: list[Any] | None = None
    for dataset in chosen:
        if dataset.owner_model is None:
            return []
        mine = list(dataset.owners(user))
        found = mine if found is None else [team for team in found if team in mine]
    return found or []
