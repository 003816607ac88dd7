"""A line of the table of targets: what is measured, and what the figures say about what was aimed at."""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.bench import Bench, Run

ROUNDS = 3
"""Fresh processes of each contender; a figure is their median, a peak the highest of them."""

Figures = dict[str, Any]
"""What `measure` found, as it is kept in results.json."""


@dataclass(frozen=True)
class Target:
    """One figure and the bound that it was to keep."""

    what: str
    figure: float
    sense: Literal["at least", "at most"]
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.figure >= self.bound if self.sense == "at least" else self.figure <= self.bound


class Line(ABC):
    """One thing that is measured. `name` is what ONLY= takes."""

    name: str
    title: str
    source: str = ""
    """Under what name its figures are kept: lines may share them. "" for its own."""

    @property
    @abstractmethod
    def about(self) -> str:
        """How it is measured, in a few sentences."""

    @property
    def kept_as(self) -> str:
        return self.source or self.name

    @abstractmethod
    def measure(self, bench: Bench) -> Figures:
        """Measure it. What comes out is JSON."""

    @abstractmethod
    def targets(self, figures: Figures) -> Iterator[Target]:
        """What the figures say."""

    @abstractmethod
    def table(self, figures: Figures) -> list[str]:
        """The figures as Markdown."""


def median(runs: Sequence[Run], what: str = "seconds") -> float:
    return float(statistics.median(run[what] for run in runs))


def highest(runs: Sequence[Run], what: str = "peak_mb") -> float | None:
    """The largest of a figure over the runs; None when they do not know it."""
    known = [run[what] for run in runs if run[what] is not None]
    return max(known) if known else None


def rate(runs: Sequence[Run]) -> float:
    """Rows a second, by the median of the seconds."""
    return float(runs[0]["rows"]) / median(runs)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> list[str]:
    """A table whose first `texts` columns are text and whose others are figures."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * texts + "---:|" * (len(headings) - texts)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def short(number: float | None, digits: int = 3) -> str:
    """A number with as many places as it takes to show `digits` digits; whole ones are grouped."""
    if number is None:
        return "–"
    if abs(number) >= 10 ** (digits - 1):
        return f"{number:,.0f}"
    places = next((place for place in range(1, 7) if abs(number) * 10**place >= 10 ** (digits - 1)), 0)
    return f"{number:.{places}f}"


def percentile(values: Sequence[float], share: int) -> float:
    """The value that `share` percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def spread(values: Mapping[str, float]) -> float:
    """How many times the least of the values the largest is; infinite where one drowns in noise and is none."""
    least = min(values.values())
    return max(values.values()) / least if least > 0 else math.inf
