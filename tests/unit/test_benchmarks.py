"""Tests of the benchmarks' statistics, targets, documents, plots and data."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from benchmarks.contests import OURS, Contender, Contest
from benchmarks.ledger.rows import bookings
from benchmarks.lines import Target, highest, median, percentile, rate, short
from benchmarks.page import page, readme
from benchmarks.plots import PLOTS
from benchmarks.sizes import costs

PEER = "psql \\copy of row_to_json"
CONTEST = Contest("x", "X", "jsonl", 1_000_000, (Contender(PEER, "x", 1_000_000, at_least=0.9),), seconds=3)


def runs(*seconds: float, rows: int = 1_000_000, peak: float | None = 70.0) -> list[dict[str, object]]:
    return [{"rows": rows, "seconds": each, "peak_mb": peak, "bytes": 5_000_000} for each in seconds]


FIGURES = {OURS: runs(2.0, 9.0, 1.0), PEER: runs(1.6, 1.5, 1.7, peak=None)}
RESULTS = {
    "machine": "a machine", "load": 0.1, "versions": {"python": "3"},
    "lines": {"jsonl-1m": {"date": "2026-01-01", "figures": FIGURES}},
}  # fmt: skip


def test_median_rate_and_peak() -> None:
    assert median(FIGURES[OURS]) == 2.0
    assert rate(FIGURES[OURS]) == 500_000
    assert highest(FIGURES[OURS]) == 70.0
    assert highest(FIGURES[PEER]) is None


@pytest.mark.parametrize(("share", "value"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_the_smallest_value_that_this_share_does_not_exceed(share: int, value: int) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "–"), (0, "0"), (0.0123, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (123.4, "123"), (12345, "12,345")],
)  # fmt: skip
def test_numbers_are_shown_with_three_significant_digits(number: float | None, text: str) -> None:
    assert short(number) == text


def test_a_target_is_met_at_its_bound() -> None:
    assert Target("x", 0.9, "at least", 0.9).met
    assert not Target("x", 0.89, "at least", 0.9).met
    assert Target("x", 2, "at most", 2).met
    assert not Target("x", 2.1, "at most", 2).met


def test_a_contest_compares_medians() -> None:
    ratio, seconds = CONTEST.targets(FIGURES)
    assert (ratio.figure, ratio.met) == (0.8, False)
    assert (seconds.figure, seconds.met) == (2.0, True)


def test_the_time_per_row_excludes_the_export_of_one_row() -> None:
    sizes = {"1": runs(0.5, rows=1), "10000": runs(1.5, rows=10_000), "100000": runs(10.5, rows=100_000)}
    assert costs(sizes | {"1000000": runs(100.5)}) == {"10000": 100, "100000": 100, "1000000": 100}


def test_the_page_shows_only_measured_benchmarks() -> None:
    text = page(RESULTS)
    row = f"| [jsonl-1m](#json-lines-1000000-rows) | rows/s, Carryall / {PEER} | 0.800 × | ≥ 0.8 × | yes |"
    assert row in text
    assert "## JSON Lines, 1,000,000 rows" in text
    assert "XLSX" not in text
    assert readme(RESULTS) == ""


def test_a_plot_contains_its_data_and_both_colour_schemes() -> None:
    svg = PLOTS[0].svg(RESULTS)
    assert PLOTS[0].words(RESULTS) in svg
    assert "prefers-color-scheme: dark" in svg
    assert not re.search(r"(fill|stroke): #", svg)
    assert svg == PLOTS[0].svg(RESULTS)


def test_the_ledger_is_the_same_on_every_machine() -> None:
    moment = datetime(2025, 1, 1, 8, 3, 20, tzinfo=UTC)
    row = (1_000, moment, "TX-2025-07919000", "Annual naïve order", "Services", 32, Decimal("34607.55"), "EUR")
    assert list(bookings(1_000))[-1] == row
