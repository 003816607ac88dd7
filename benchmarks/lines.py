"""Base classes of benchmarks and targets, and helpers for figures and tables."""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.bench import Bench, Run

ROUNDS = 3
"""Fresh processes per contender. A figure is their median; a peak is their maximum."""

Figures = dict[str, Any]
"""The return value of `measure`, as stored in results.json."""


@dataclass(frozen=True)
class Target:
    """A figure and its bound."""

    what: str
    figure: float
    sense: Literal["at least", "at most"]
    bound: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.figure >= self.bound if self.sense == "at least" else self.figure <= self.bound


class Line(ABC):
    """A benchmark. `name` is the value for ONLY=."""

    name: str
    title: str
    source: str = ""
    """Key of the figures in results.json if benchmarks share them. If empty, the key is `name`."""

    @property
    @abstractmethod
    def about(self) -> str:
        """The method, in a few sentences."""

    @property
    def kept_as(self) -> str:
        return self.source or self.name

    @abstractmethod
    def measure(self, bench: Bench) -> Figures:
        """Run the measurement. Return figures that are serializable as JSON."""

    @abstractmethod
    def targets(self, figures: Figures) -> Iterator[Target]:
        """Yield the targets."""

    @abstractmethod
    def table(self, figures: Figures) -> list[str]:
        """Return the figures as lines of Markdown."""


def median(runs: Sequence[Run], what: str = "seconds") -> float:
    return float(statistics.median(run[what] for run in runs))


def highest(runs: Sequence[Run], what: str = "peak_mb") -> float | None:
    """Return the maximum over the runs, or None if no run has the value."""
    present = [run[what] for run in runs if run[what] is not None]
    return max(present) if present else None


def rate(runs: Sequence[Run]) -> float:
    """Return rows per second, from the median of the seconds."""
    return float(runs[0]["rows"]) / median(runs)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> list[str]:
    """Return the lines of a Markdown table. The first `texts` columns are text; the others are right-aligned."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * texts + "---:|" * (len(headings) - texts)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def short(number: float | None, digits: int = 3) -> str:
    """Format a number with `digits` significant digits. Larger numbers are integers with thousands separators."""
    if number is None:
        return "–"
    if abs(number) >= 10 ** (digits - 1):
        return f"{number:,.0f}"
    places = next((place for place in range(1, 7) if abs(number) * 10**place >= 10 ** (digits - 1)), 0)
    return f"{number:.{places}f}"


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest value that at least `share` percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def spread(values: Mapping[str, float]) -> float:
    """Return the ratio of the largest to the smallest value: infinity if noise makes the smallest zero or negative."""
    least = min(values.values())
    return max(values.values()) / least if least > 0 else math.inf
