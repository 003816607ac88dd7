"""Tests of the time left: estimates in the middle of simulated exports, compared with their real duration."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.forecast.load import Load
from exports.forecast.timing import IDLE_SECONDS, Counts, Outlook, Times
from exports.models import Content, Export
from exports.pipeline.rates import Rate
from exports.states import State
from exports.web.humanize import duration, rounded

START = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = Counts(0, 0, 0, 0, 0, 0, 0.0, 0, 0, 0, timedelta(), 0, 0, None, START)
USUAL = Rate(seconds_per_row=2e-4, bytes_per_row=100, measured=True, joining_per_row=1e-5, lanes=2.0)


def export(**facts: Any) -> Export:
    known = {
        "pk": 5,
        "owner_id": 1,
        "dataset": "orders",
        "format": "csv",
        "state": State.RENDERING,
        "seconds": 0.0,
        "rows": 10_000,
    }
    return Export(**known | {"started_at": START, "requested_at": START, "next_attempt_at": None} | facts)


def outlook(load: Load | None = None, rate: Rate = USUAL) -> Outlook:
    found = Outlook(1, 5)
    found.__dict__["load"] = load or Load()
    found._rates = {Content("orders", kind): rate for kind in ("csv", "pdf")}
    return found


def at(seconds: float, ends: list[tuple[float, float]], rows: int = 10_000) -> Counts:
    """Return the counts after `seconds` for parts with these begin and end times, each of `rows` rows."""
    done = [(begin, end) for begin, end in ends if end <= seconds]
    running = [seconds - begin for begin, end in ends if begin < seconds < end]
    return replace(
        NOTHING,
        parts=len(ends),
        rows=rows * len(ends),
        rows_done=rows * len(done),
        done=len(done),
        done_rows=rows * len(done),
        done_seconds=sum(end - begin for begin, end in done),
        running=len(running),
        running_rows=rows * len(running),
        running_for=timedelta(seconds=sum(running)),
        now=START + timedelta(seconds=seconds),
    )


def part_times(parts: int, each: float, lanes: int) -> list[tuple[float, float]]:
    return [(part // lanes * each, (part // lanes + 1) * each) for part in range(parts)]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(
    ("parts", "each", "lanes"), [(1, 2.0, 1), (4, 2.0, 2), (10, 2.0, 2), (40, 1.6, 2), (40, 2.5, 3), (7, 4.0, 2)]
)
def test_the_time_left_is_roughly_right(parts: int, each: float, lanes: int, share: float) -> None:
    ends = part_times(parts, each, lanes)
    whole = max(end for _, end in ends)
    left = outlook().times(export(), [at(share * whole, ends)]).seconds_left
    truth = (1 - share) * whole + USUAL.joining_per_row * 10_000 * parts
    assert left == pytest.approx(truth, rel=0.25, abs=1.0)


@given(st.integers(1, 60), st.floats(0.01, 20), st.integers(1, 6), st.floats(0, 1.5))
def test_the_time_left_is_never_negative(parts: int, each: float, lanes: int, share: float) -> None:
    ends = part_times(parts, each, lanes)
    left = outlook().times(export(), [at(share * ends[-1][1], ends)]).seconds_left
    assert left is None or left >= 0


def test_a_slower_file_of_a_bundle_counts_for_itself() -> None:
    done = replace(at(4.0, part_times(4, 2.0, 2)), content=0)
    ahead = replace(at(0.0, part_times(4, 20.0, 2)), content=1, now=done.now)
    bundle = export(format="zip", inside=["csv", "pdf"])
    forecast = outlook()
    forecast._rates[Content("orders", "pdf")] = replace(USUAL, seconds_per_row=2e-3)
    forecast._bundles["orders", "zip"] = None
    left = forecast.times(bundle, [done, ahead]).seconds_left
    assert left == pytest.approx(40.8, rel=0.15)


def test_recorded_rows_of_a_running_part_count() -> None:
    """The part is five times slower than the measured rate, which its own rows show long before it ends."""
    alone = replace(at(10.0, [(0.0, 20.0)], rows=20_000), rows_done=10_000, running_done=10_000)
    left = outlook(rate=replace(USUAL, joining_per_row=0.0)).times(export(), [alone]).seconds_left
    assert left == pytest.approx(10, rel=0.25)


def test_the_time_left_includes_the_wait_for_a_retry() -> None:
    counts = at(4.0, part_times(4, 2.0, 2)[:3])
    again = replace(counts, parts=4, rows=40_000, retrying=1, retry_at=counts.now + timedelta(seconds=60))
    left = outlook().times(export(), [again]).seconds_left
    assert left == pytest.approx(60, abs=3)


def test_joining_counts_down_and_is_then_unknown() -> None:
    joining = export(state=State.ASSEMBLING, claimed_at=START, lease_until=START, seconds=0.5)
    counts = replace(at(4.0, part_times(40, 0.1, 1)), now=START + timedelta(seconds=1))
    assert outlook().times(joining, [counts]).seconds_left == pytest.approx(4.0 - 0.5 - 1)
    late = replace(counts, now=START + timedelta(seconds=9))
    assert outlook().times(joining, [late]) == Times()


# --- before it begins -----------------------------------------------------------------------------------------------

WAITING = replace(at(0.0, part_times(4, 2.0, 2)), running=0, running_rows=0)


def test_without_other_exports_it_begins_at_once() -> None:
    times = outlook().times(export(), [WAITING])
    assert (times.ahead, times.starts_in) == (0, 0.0)
    assert times.seconds_left == pytest.approx(4.4, rel=0.3)


def test_other_exports_go_first_in_the_fair_order() -> None:
    idle = Load(others=3, older=3, turns={7: 1, 8: 1}, running=2)
    times = outlook(idle).times(export(), [WAITING])
    assert times.ahead == 3
    assert times.starts_in == pytest.approx(1.0)  # half a part, and one turn of the owner without one
    own = Load(others=1, older=0, own=2, turns={7: 2}, running=2, waiting={4: 10, 5: 4})
    later = outlook(own).times(export(), [WAITING])
    assert later.ahead == 2  # the owner's older export, and the other owner's, whose turns alternate with it
    assert later.starts_in == pytest.approx((4 - 1 + 10 + 10 + 1 - 2) * 2 / 2)


def test_without_workers_the_times_are_unknown() -> None:
    long_after = replace(WAITING, now=START + timedelta(seconds=IDLE_SECONDS + 1))
    times = outlook().times(export(), [long_after])
    assert (times.starts_in, times.seconds_left) == (None, None)


def test_a_retry_starts_after_its_wait() -> None:
    times = outlook().times(export(state=State.QUEUED, next_attempt_at=START + timedelta(days=20_000)), [])
    assert times.starts_in is not None
    assert times.starts_in > 1e6
    assert times.seconds_left is None


def test_an_ended_export_has_no_times() -> None:
    assert outlook().times(export(state=State.READY), []) == Times()


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "1 second"),
        (1.4, "1 second"),
        (12.3, "12 seconds"),
        (89, "89 seconds"),
        (95, "2 minutes"),
        (7_000, "2 hours"),
    ],
)
def test_durations_are_written_in_words_and_are_never_zero(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_estimated_numbers_have_two_digits() -> None:
    assert [rounded(number) for number in (7, 99, 159_876, 1_049_000)] == [7, 99, 160_000, 1_000_000]
