"""Estimates of the number of rows of a request, within some hundredths of a second for any number."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db import connections
from django.db.models import IntegerField, QuerySet

from exports.datasets.grouped import is_grouped

COUNTED = 50_000
"""Up to this many rows are counted; more are estimated."""
POINTS = 1_500
"""Number of keys that a sample looks up."""
MIN_FOUND = 60
"""Keys that a sample must find to be used: with 60, the estimate is within 25% of the truth in 19 cases of 20."""


class Certainty(Enum):
    """How exact a number of rows is."""

    EXACT = "exact"
    ABOUT = "about"
    MORE = "more"
    """At least this many rows."""


@dataclass(frozen=True)
class Rows:
    """A number of rows, and how exact it is."""

    number: int
    certainty: Certainty = Certainty.EXACT

    def __add__(self, other: Rows) -> Rows:
        worst = max(self.certainty, other.certainty, key=list(Certainty).index)
        return Rows(self.number + other.number, worst)


def estimate(rows: QuerySet[Any]) -> Rows:
    """Return the number of `rows`: exact up to COUNTED, above that estimated by looking up keys across the table.

    If the sample finds too few keys, the estimate of PostgreSQL's planner is used.
    """
    rows = rows.order_by()
    counted = rows[: COUNTED + 1].count()
    if counted <= COUNTED:
        return Rows(counted)
    guess = (None if is_grouped(rows) else _by_sample(rows)) or by_planner(rows)
    return Rows(COUNTED, Certainty.MORE) if guess is None else Rows(max(guess, counted), Certainty.ABOUT)


def _by_sample(rows: QuerySet[Any]) -> int | None:
    """Look up one random key in each of POINTS equal intervals: gaps count as missing rows, clusters do no harm."""
    if not isinstance(rows.model._meta.pk, IntegerField):
        return None
    keys = rows.model._base_manager.using(rows.db).order_by("pk").values_list("pk", flat=True)
    first, last = keys.first(), keys.last()
    span = last - first + 1
    chance = random.Random(span)  # noqa: S311 - the same table gives the same estimate
    points = {first + int(span * (place + chance.random()) / POINTS) for place in range(POINTS)}
    found = rows.filter(pk__in=points).count()
    return round(found / len(points) * span) if found >= MIN_FOUND else None


def by_planner(rows: QuerySet[Any]) -> int | None:
    """Return the estimate of PostgreSQL's planner; None on other databases."""
    if connections[rows.db].vendor != "postgresql":
        return None
    with connections[rows.db].cursor() as cursor:
        counted = rows if is_grouped(rows) else rows.values("pk")
        sql, params = counted.query.get_compiler(using=rows.db).as_sql()
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    return int(plan[0]["Plan"]["Plan Rows"])
