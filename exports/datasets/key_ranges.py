"""Ranges of primary keys: one for each part, and those that a sample is read from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.db.models import Count, F, IntegerField, Max, Min, QuerySet, Window
from django.db.models.functions import Mod, RowNumber
from django.db.models.sql import Query

from exports.errors import DatasetFailed

WHOLE = 1 << 62
"""A size larger than any range."""
SAMPLE, SAMPLED_RANGES = 200, 10
"""Rows that a format may examine before the first part is written, and the number of places they come from."""


@dataclass(frozen=True)
class KeyRange:
    """The rows of a part: primary keys from `first` to `last`, both inclusive, and their number at planning."""

    first: Any
    last: Any
    rows: int


def cut(rows: QuerySet[Any], rows_per_part: int | None) -> list[KeyRange]:
    """Cut `rows`, which are ordered by key, into ranges; see `Dataset.key_ranges`."""
    size = rows_per_part or WHOLE
    if not rows.model._meta.managed or type(rows.query) is not Query:  # custom SQL may multiply rows
        _require_unique_keys(rows)
    if rows_per_part and isinstance(rows.model._meta.pk, IntegerField):  # PostgreSQL has no MIN() of UUIDs
        few = rows.order_by()[: size + 1].aggregate(first=Min("pk"), last=Max("pk"), rows=Count("pk"))
        if few["rows"] <= size:
            return [KeyRange(**few)] if few["rows"] else []
    numbered = rows.annotate(carryall_row=Window(RowNumber(), order_by=F("pk").asc()))
    placed = numbered.annotate(carryall_place=_Place(F("carryall_row") - 1, size))
    ends = placed.filter(carryall_place__in=[0, size - 1])
    return _ranges(rows, list(ends.values_list("pk", flat=True)), size)


def _require_unique_keys(rows: QuerySet[Any]) -> None:
    """Raise DatasetFailed if a key occurs twice, as it may in a view, whose key the database does not enforce."""
    found = rows.order_by().aggregate(rows=Count("pk"), keys=Count("pk", distinct=True))
    if found["rows"] != found["keys"]:
        raise DatasetFailed from ValueError(
            f"{rows.model.__name__} has {found['rows']} rows for {found['keys']} primary keys: choose a unique key."
        )


def sample_ranges(
    ranges: Sequence[KeyRange], keys_within: Callable[[KeyRange, int, int], list[Any]]
) -> Iterator[KeyRange]:
    """Yield the ranges of a sample: SAMPLED_RANGES of equal size at even distances, or all rows if there are few.

    `keys_within(range, skip, count)` returns up to `count` keys of a range, in order, after the first `skip`.
    """
    starts = list(accumulate((keys.rows for keys in ranges), initial=0))
    total = starts.pop()
    places = SAMPLED_RANGES if total > SAMPLE else min(total, 1)
    count = SAMPLE // max(1, places)
    known, known_place = None, -1
    for number in range(places):
        place = total * number // places
        first, last = bisect_right(starts, place) - 1, bisect_left(starts, min(place + count, total)) - 1
        if known_place >= starts[first]:  # continue from the last place instead of skipping its keys again
            found = keys_within(KeyRange(known, ranges[last].last, 0), place - known_place, count)
        else:
            found = keys_within(KeyRange(ranges[first].first, ranges[last].last, 0), place - starts[first], count)
        if found:  # otherwise rows were deleted since they were counted
            known, known_place = found[0], place
            yield KeyRange(found[0], found[-1], len(found))


def sampled(rows: QuerySet[Any], ranges: Sequence[KeyRange]) -> Iterator[KeyRange]:
    """Yield the ranges of a sample of `rows`, which `ranges` cut; each key is read at most once."""
    return sample_ranges(ranges, lambda keys, skip, count: _keys_within(rows, keys, skip, count))


def _keys_within(rows: QuerySet[Any], keys: KeyRange, skip: int, count: int) -> list[Any]:
    within = rows.filter(pk__gte=keys.first, pk__lte=keys.last)
    return list(within.values_list("pk", flat=True)[skip : skip + count])


class _Place(Mod):
    """A remainder of a window function's value, which exists only after grouping; Django would group by it."""

    def get_group_by_cols(self) -> list[Any]:
        return []


def _ranges(rows: QuerySet[Any], keys: list[Any], size: int) -> list[KeyRange]:
    """Return the ranges with these first and last keys, which alternate. The last range may have no last key yet."""
    if size == 1:
        return [KeyRange(key, key, 1) for key in keys]
    ranges = [KeyRange(first, last, size) for first, last in zip(keys[::2], keys[1::2], strict=False)]
    if len(keys) % 2:
        left = rows.filter(pk__gte=keys[-1])
        last = left.order_by("-pk").values_list("pk", flat=True).first()
        ranges.append(KeyRange(keys[-1], keys[-1] if last is None else last, left.count()))
    return ranges
