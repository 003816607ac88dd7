"""Helpers for a site's own tests of its datasets.

    from exports.testing import assert_private, export_rows

    def test_orders_are_private(ada, bob):
        assert_private(Orders, ada, bob)

They raise AssertionError with the reason. Both need the database, and rows of the owners that they get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exports.datasets import Column, Dataset, KeyRange, Selection, datasets, flat
from exports.models.period import Period

EVERYTHING = Period()
ROWS_PER_PART = 7
"""Few rows, so that the tests read several parts, as the workers of a large export do."""


def export_rows(
    dataset: type[Dataset] | str,
    owner: Any,
    *,
    period: Period = EVERYTHING,
    params: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return the rows that an export of `owner` has, by column name and in the order of the file.

    `dataset` is a registered class or its key; `columns` are names, all by default. They are read as workers read them,
    in parts and with every check. Raises ExportError where an export would fail.
    """
    chosen = _registered(dataset)
    return _read(chosen, Selection(owner, period, params or {}), chosen.choose(columns))


def assert_private(dataset: type[Dataset] | str, one: Any, other: Any) -> None:
    """Assert that neither owner gets a row of the other. Both must have rows.

    Also reads the other's parts for each owner, as an attacker would who has changed the keys of a part. Rows without
    keys, such as groups, are compared by their values, so give the owners different data.
    """
    chosen = _registered(dataset)
    if not chosen.in_parts(one):
        _assert_different(chosen, one, other)
        return
    keys = {owner: _keys(chosen, owner) for owner in (one, other)}
    for owner, found in keys.items():
        assert found, f"{owner} has no rows in {chosen.key!r}: create some first, or the test proves nothing."
    shared = keys[one] & keys[other]
    assert not shared, f"{chosen.key!r} gives both owners the rows {sorted(map(str, shared))[:3]}."
    for mine, theirs in ((one, other), (other, one)):
        selection = Selection(mine)
        for part in chosen.key_ranges(Selection(theirs), None):
            own = sum(1 for key in keys[mine] if part.first <= key <= part.last)
            read = len(list(chosen.source(selection, chosen.choose(()), part)))
            assert read == own, f"{chosen.key!r} gives {mine} {read - own} row(s) of {theirs}."


def _read(dataset: Dataset, selection: Selection, columns: Sequence[Column]) -> list[dict[str, Any]]:
    dataset.require_fit(selection.owner, columns)
    cut = dataset.in_parts(selection.owner)
    parts: Sequence[KeyRange | None] = dataset.key_ranges(selection, ROWS_PER_PART) if cut else [None]
    names = [slot.name for slot in flat(columns)]
    return [dict(zip(names, row, strict=True)) for keys in parts for row in dataset.source(selection, columns, keys)]


def _assert_different(dataset: Dataset, one: Any, other: Any) -> None:
    rows = {owner: _read(dataset, Selection(owner), dataset.choose(())) for owner in (one, other)}
    for owner, found in rows.items():
        assert found, f"{owner} has no rows in {dataset.key!r}: create some first, or the test proves nothing."
    shared = [row for row in rows[one] if row in rows[other]]
    assert not shared, f"{dataset.key!r} gives both owners the row {shared[0]}: give them different data."


def _keys(dataset: Dataset, owner: Any) -> set[Any]:
    return set(dataset.selected(Selection(owner)).values_list("pk", flat=True))


def _registered(dataset: type[Dataset] | str) -> Dataset:
    if isinstance(dataset, str):
        return datasets.get(dataset)
    found = next((each for each in datasets if type(each) is dataset), None)
    return found if found is not None else dataset()
