"""How many rows a request will have, told within some hundredths of a second however many they are."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db import connections
from django.db.models import IntegerField, QuerySet

COUNTED = 50_000
"""Rows that are counted; more are estimated."""
POINTS = 1_500
"""Keys that a sample looks up."""
TELLING = 60
"""Keys that must be found, or the sample says too little: with 60 it is right within a quarter, 19 times of 20."""


class Certainty(Enum):
    """How a number of rows is meant."""

    EXACT = "exact"
    ABOUT = "about"
    MORE = "more"
    """There are at least so many."""


@dataclass(frozen=True)
class Rows:
    """A number of rows, and how it is meant."""

    number: int
    certainty: Certainty = Certainty.EXACT

    def __add__(self, other: Rows) -> Rows:
        worst = max(self.certainty, other.certainty, key=list(Certainty).index)
        return Rows(self.number + other.number, worst)


def estimate(rows: QuerySet[Any]) -> Rows:
    """How many `rows` there are: exactly, up to COUNTED; above that by looking up keys all over the table.

    Where the sample finds too few, PostgreSQL's planner is asked.
    """
    rows = rows.order_by()
    counted = rows[: COUNTED + 1].count()
    if counted <= COUNTED:
        return Rows(counted)
    guess = _by_sample(rows) or by_planner(rows)
    return Rows(COUNTED, Certainty.MORE) if guess is None else Rows(max(guess, counted), Certainty.ABOUT)


def _by_sample(rows: QuerySet[Any]) -> int | None:
    """One random key of each of POINTS equal stretches: gaps count as rows that are not there, clusters do no harm."""
    if not isinstance(rows.model._meta.pk, IntegerField):
        return None
    keys = rows.model._base_manager.using(rows.db).order_by("pk").values_list("pk", flat=True)
    first, last = keys.first(), keys.last()
    span = last - first + 1
    chance = random.Random(span)  # noqa: S311 - the same table gives the same estimate
    points = {first + int(span * (place + chance.random()) / POINTS) for place in range(POINTS)}
    found = rows.filter(pk__in=points).count()
    return round(found / len(points) * span) if found >= TELLING else None


def by_planner(rows: QuerySet[Any]) -> int | None:
    """What PostgreSQL's planner believes; None on other databases."""
    if connections[rows.db].vendor != "postgresql":
        return None
    with connections[rows.db].cursor() as cursor:
        sql, params = rows.values("pk").query.sql_with_params()
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        told = cursor.fetchone()[0]
    plan = json.loads(told) if isinstance(told, str) else told
    return int(plan[0]["Plan"]["Plan Rows"])
