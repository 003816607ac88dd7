"""Date-times in a person's zone, as SQL that says what Python's zone database says.

PostgreSQL has a zone database of its own, perhaps of another year, and needs a moment to look a zone up by its name. So
the zone's changes of offset stand in the SQL, and some eight comparisons of a date-time find the one that holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

Leaf = Callable[[timedelta], str]
"""SQL for the moments at which local time has this offset."""

FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
KNOWN = range(-5_364_662_400, 4_102_444_800, 86_400)
"""The days from 1800 to 2100, in seconds since 1970: no zone changes before, and after them a rule repeats itself."""
BEGIN, FOREVER, END = "0001-01-01 00:00:00+00", "2100-01-01 00:00:00+00", "10000-01-01 00:00:00+00"
NONE = timedelta(0)


def local(name: str, zone: ZoneInfo) -> str:
    """SQL of a timestamp without a zone: what the `timestamptz` of this SQL name is in `zone`.

    UTC where the calendar, years 1 to 9999, ends before the zone's day does. NULL outside of the calendar.
    """
    place = _choose(name, zone, lambda offset: f"INTERVAL '{iso(offset)}'")
    return f"CASE WHEN {name} >= '{BEGIN}' AND {name} < '{END}' THEN {name} AT TIME ZONE {place} END"


def written(name: str, zone: ZoneInfo) -> str:
    """SQL of a text: the same as ISO 8601 with the offset, as exports.formats.values.moment writes it in Python.

    What Python's calendar does not have is written as PostgreSQL does, in UTC: infinity, 0044-03-15T12:00:00 BC.
    """
    usual = _choose(name, zone, lambda offset: f"({_at(name, _said(offset))})::text || '{iso(_said(offset))}'")
    place = _choose(name, zone, lambda offset: f"INTERVAL '{iso(_said(offset))}'")
    offset = _choose(name, zone, lambda offset: f"'{iso(_said(offset))}'")
    return (
        f"CASE WHEN {name} < '{BEGIN}' OR {name} >= '{END}' THEN trim('\"' FROM to_json({_at(name, NONE)})::text)"
        f" WHEN {name} = {name}::timestamptz(0) THEN replace({usual}, ' ', 'T')"
        f""" ELSE to_char({name} AT TIME ZONE {place}, 'YYYY-MM-DD"T"HH24:MI:SS.US') || {offset} END"""
    )


def iso(offset: timedelta) -> str:
    """As +02:00; with seconds where there are some."""
    minutes, seconds = divmod(abs(offset) // timedelta(seconds=1), 60)
    text = f"{'-' if offset < NONE else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


def _said(offset: timedelta) -> timedelta:
    """The offset, or that of UTC for one that ISO 8601 cannot say."""
    return NONE if offset % timedelta(minutes=1) else offset


def _at(name: str, offset: timedelta) -> str:
    return f"{name} AT TIME ZONE INTERVAL '{iso(offset)}'"


def _choose(name: str, zone: ZoneInfo, leaf: Leaf) -> str:
    """SQL of `leaf` for the offset that `zone` has at `name`, a moment inside of the calendar."""
    return _tree(name, list(_spans(name, zone, leaf)))


def _tree(name: str, spans: list[tuple[str, str]]) -> str:
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    before, after = _tree(name, spans[:middle]), _tree(name, spans[middle:])
    return f"CASE WHEN {name} < '{spans[middle][0]}' THEN {before} ELSE {after} END"


def _spans(name: str, zone: ZoneInfo, leaf: Leaf) -> Iterator[tuple[str, str]]:
    """When each offset begins, and its SQL. UTC at the two ends of the calendar, where local time lies outside."""
    first, changes = offsets(zone)
    yield BEGIN, leaf(max(first, NONE))
    if first < NONE:
        yield str(FIRST - first), leaf(first)
    for moment, offset in changes:
        yield str(moment), leaf(offset)
    last = changes[-1][1] if changes else first
    if changes and changes[-1][0].year == 2099:
        yield FOREVER, _for_ever(name, zone, leaf, {offset for _, offset in changes[-2:]})
    elif last > NONE:
        yield str(LAST - last + timedelta(microseconds=1)), leaf(NONE)


def _for_ever(name: str, zone: ZoneInfo, leaf: Leaf, two: set[timedelta]) -> str:
    """Summer and winter by the rule that repeats itself, which PostgreSQL can read."""
    there = f"{name} AT TIME ZONE '{_rule(zone.key)}'"
    summer, winter = max(two), min(two)
    return (
        f"CASE WHEN {there} >= '10000-01-01' THEN {leaf(NONE)}"
        f" WHEN {there} = {_at(name, summer)} THEN {leaf(summer)} ELSE {leaf(winter)} END"
    )


def _rule(key: str) -> str:
    """The rule that a zone's file ends with, in POSIX's words: CET-1CEST,M3.5.0,M10.5.0/3."""
    found = next((path for folder in TZPATH if (path := Path(folder, key)).is_file()), None)
    data = found.read_bytes() if found else resources.files("tzdata.zoneinfo").joinpath(key).read_bytes()
    return data.rsplit(b"\n", 2)[1].decode("ascii")


@lru_cache(maxsize=64)
def offsets(zone: ZoneInfo) -> tuple[timedelta, tuple[tuple[datetime, timedelta], ...]]:
    """The zone's offset in 1800, and until 2100 each later one with the moment at which it begins. Takes 50 ms."""

    def at(second: int) -> timedelta:
        offset = datetime.fromtimestamp(second, zone).utcoffset()
        assert offset is not None
        return offset

    days = [at(day) for day in KNOWN]
    changes = []
    for day, before, after in zip(KNOWN, days, days[1:], strict=False):
        if before != after:
            moments = range(day, day + KNOWN.step + 1)
            second = moments[bisect_left(moments, True, key=lambda moment: at(moment) != before)]
            changes.append((datetime.fromtimestamp(second, UTC), after))
    return days[0], tuple(changes)
