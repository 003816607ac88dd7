"""All benchmarks, in the order of the page."""

from __future__ import annotations

from benchmarks.click import Click
from benchmarks.contests import CONTESTS
from benchmarks.estimate import Estimate
from benchmarks.fairness import Fairness, Synchronous
from benchmarks.lines import Line
from benchmarks.reading import Reading
from benchmarks.sizes import Cost, Memory
from benchmarks.tables import Tables
from benchmarks.whole import Whole
from benchmarks.workers import Workers

LINES: tuple[Line, ...] = (
    *CONTESTS[:1], Whole(), *CONTESTS[1:], Memory(), Cost(), Workers(), Click(), Synchronous(), Fairness(), Estimate(),
    Tables(), Reading(),
)  # fmt: skip
