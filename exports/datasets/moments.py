"""Date-times in a user's time zone, as SQL that agrees with Python's time zone database.

PostgreSQL has its own time zone database, possibly of another year, and looking up a zone by name takes time. So the
SQL contains the zone's offset changes, and about eight comparisons of a date-time find the offset that applies.
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
"""Returns SQL for the moments at which local time has this offset."""

FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
KNOWN = range(-5_364_662_400, 4_102_444_800, 86_400)
"""The days from 1800 to 2100, in seconds since 1970. No zone changes before; afterwards a rule repeats."""
BEGIN, FOREVER, END = "0001-01-01 00:00:00+00", "2100-01-01 00:00:00+00", "10000-01-01 00:00:00+00"
ZERO = timedelta(0)


def local(name: str, zone: ZoneInfo) -> str:
    """Return SQL for the `timestamptz` of this SQL name in `zone`, as a timestamp without time zone.

    UTC where local time would leave the calendar, years 1 to 9999. NULL outside the calendar.
    """
    place = _choose(name, zone, lambda offset: f"INTERVAL '{iso(offset)}'")
    return f"CASE WHEN {name} >= '{BEGIN}' AND {name} < '{END}' THEN {name} AT TIME ZONE {place} END"


def written(name: str, zone: ZoneInfo) -> str:
    """Return SQL for the date-time as text: ISO 8601 with the offset, as exports.formats.values.moment writes it.

    Values outside Python's calendar are written as PostgreSQL does, in UTC: infinity, 0044-03-15T12:00:00 BC.
    """
    usual = _choose(
        name, zone, lambda offset: f"({_at(name, _iso_offset(offset))})::text || '{iso(_iso_offset(offset))}'"
    )
    place = _choose(name, zone, lambda offset: f"INTERVAL '{iso(_iso_offset(offset))}'")
    offset = _choose(name, zone, lambda offset: f"'{iso(_iso_offset(offset))}'")
    return (
        f"CASE WHEN {name} < '{BEGIN}' OR {name} >= '{END}' THEN trim('\"' FROM to_json({_at(name, ZERO)})::text)"
        f" WHEN {name} = {name}::timestamptz(0) THEN replace({usual}, ' ', 'T')"
        f""" ELSE to_char({name} AT TIME ZONE {place}, 'YYYY-MM-DD"T"HH24:MI:SS.US') || {offset} END"""
    )


def iso(offset: timedelta) -> str:
    """Return the offset as +02:00, with seconds only if there are any."""
    minutes, seconds = divmod(abs(offset) // timedelta(seconds=1), 60)
    text = f"{'-' if offset < ZERO else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{seconds:02}" if seconds else text


def _iso_offset(offset: timedelta) -> timedelta:
    """Return the offset, or that of UTC for one that ISO 8601 cannot express."""
    return ZERO if offset % timedelta(minutes=1) else offset


def _at(name: str, offset: timedelta) -> str:
    return f"{name} AT TIME ZONE INTERVAL '{iso(offset)}'"


def _choose(name: str, zone: ZoneInfo, leaf: Leaf) -> str:
    """Return SQL that selects `leaf` for the offset of `zone` at `name`, a moment inside the calendar."""
    return _tree(name, list(_spans(name, zone, leaf)))


def _tree(name: str, spans: list[tuple[str, str]]) -> str:
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    before, after = _tree(name, spans[:middle]), _tree(name, spans[middle:])
    return f"CASE WHEN {name} < '{spans[middle][0]}' THEN {before} ELSE {after} END"


def _spans(name: str, zone: ZoneInfo, leaf: Leaf) -> Iterator[tuple[str, str]]:
    """Yield the start of each offset and its SQL. UTC at both ends of the calendar, where local time is outside."""
    first, changes = offsets(zone)
    yield BEGIN, leaf(max(first, ZERO))
    if first < ZERO:
        yield str(FIRST - first), leaf(first)
    for moment, offset in changes:
        yield str(moment), leaf(offset)
    last = changes[-1][1] if changes else first
    if changes and changes[-1][0].year == 2099:
        yield FOREVER, _recurring(name, zone, leaf, {offset for _, offset in changes[-2:]})
    elif last > ZERO:
        yield str(LAST - last + timedelta(microseconds=1)), leaf(ZERO)


def _recurring(name: str, zone: ZoneInfo, leaf: Leaf, two: set[timedelta]) -> str:
    """Return SQL for summer and winter time by the repeating rule, which PostgreSQL can read."""
    there = f"{name} AT TIME ZONE '{_rule(zone.key)}'"
    summer, winter = max(two), min(two)
    return (
        f"CASE WHEN {there} >= '10000-01-01' THEN {leaf(ZERO)}"
        f" WHEN {there} = {_at(name, summer)} THEN {leaf(summer)} ELSE {leaf(winter)} END"
    )


def _rule(key: str) -> str:
    """Return the POSIX rule at the end of a zone's file, such as CET-1CEST,M3.5.0,M10.5.0/3."""
    found = next((path for folder in TZPATH if (path := Path(folder, key)).is_file()), None)
    data = found.read_bytes() if found else resources.files("tzdata.zoneinfo").joinpath(key).read_bytes()
    return data.rsplit(b"\n", 2)[1].decode("ascii")


@lru_cache(maxsize=64)
def offsets(zone: ZoneInfo) -> tuple[timedelta, tuple[tuple[datetime, timedelta], ...]]:
    """Return the zone's offset in 1800, and each later one until 2100 with the moment it starts. Takes 50 ms."""

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
