"""Local times of sites with USE_TZ=False: conversions, and comparisons in the nights when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pytest_django import Settings

from durable.clock import as_stored, aware, bound

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, SECOND = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
"""Both are 02:30 in Berlin."""
SQLITE: Any = SimpleNamespace(vendor="sqlite")
POSTGRESQL: Any = SimpleNamespace(vendor="postgresql")


@pytest.fixture
def naive(settings: Settings) -> None:
    settings.TIME_ZONE, settings.USE_TZ = "Europe/Berlin", False


def test_a_site_with_time_zones_keeps_its_moments() -> None:
    assert as_stored(SECOND) is SECOND
    assert bound(SECOND, SQLITE) is SECOND


@pytest.mark.usefixtures("naive")
def test_moments_are_local_times_and_keep_which_of_two_they_are() -> None:
    for moment in (FIRST, SECOND, datetime(2026, 3, 29, 1, tzinfo=UTC)):
        stored = as_stored(moment)
        assert stored.tzinfo is None
        assert aware(stored).astimezone(UTC) == moment
    assert (as_stored(FIRST), as_stored(FIRST).fold, as_stored(SECOND).fold) == (as_stored(SECOND), 0, 1)


@pytest.mark.usefixtures("naive")
@pytest.mark.parametrize("place", ["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Pacific/Apia"])
def test_a_comparison_with_a_bound_selects_the_values_before_it(place: str, settings: Settings) -> None:
    """A database that stores no time zone holds local times, of which the repeated ones count as the first."""
    settings.TIME_ZONE = place
    zone = ZoneInfo(place)
    for start in (
        datetime(2026, 10, 24, tzinfo=UTC),
        datetime(2026, 4, 4, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
    ):
        moments = [start + timedelta(minutes=7 * number, microseconds=3) for number in range(400)]
        values = {moment.astimezone(zone).replace(tzinfo=None, fold=0) for moment in moments}
        for moment in moments[::5]:
            edge = bound(moment, SQLITE)
            assert edge is not None
            for value in values:
                assert (value < edge) == (aware(value) < moment), (value, moment, edge)


@pytest.mark.usefixtures("naive")
def test_postgresql_compares_the_moment_itself() -> None:
    assert bound(SECOND, POSTGRESQL) is SECOND
    assert bound(None, SQLITE) is None
