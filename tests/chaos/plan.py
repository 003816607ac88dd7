"""The plan of a run as data: its requests and its faults, with their times. Deterministic for a seed and a size."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SHOPS = (30, 45, 60, 50, 20, 55, 95, 115, 40, 170, 300, 1_170)
"""Rows of each user's shop: 1 to 20 parts of 60 rows."""
WEIGHTS = (8, 8, 8, 8, 8, 8, 5, 5, 8, 3, 1.5, 0.5)
"""Relative number of requests of each user."""
FORMATS = {"csv": 8, "jsonl": 6, "json": 5, "xlsx": 4, "pdf": 3, "zip": 2}
FIELDS = ("", "number,placed_at,total", "item,quantity,status,note")
"""Choices of columns. The empty one means all columns."""
INSIDE = "csv,json"
"""Formats of the files in a bundle."""


@dataclass(frozen=True)
class Spec:
    """Content of an export: two exports of one spec have the same content."""

    owner: int
    format: str
    fields: str

    @property
    def name(self) -> str:
        return f"{self.owner:02d}-{self.format}-{FIELDS.index(self.fields)}"


@dataclass(frozen=True)
class Request:
    """One click, `at` seconds after the start. `number` makes the form fields differ from every other request's."""

    number: int
    at: float
    spec: Spec
    twice: bool = False
    """Two clicks at the same moment."""
    cancel_after: float | None = None
    """Seconds from the answer to the owner's cancellation."""


@dataclass(frozen=True)
class Strike:
    """One fault: it lasts for `seconds`, `target` selects the process that it hits, and `name` selects a variant."""

    at: float
    kind: str
    seconds: float = 0.0
    target: int = 0
    name: str = ""


@dataclass(frozen=True)
class Weight:
    """Number of times that a fault strikes in a run of 3,000 exports, and its duration there and in the short form."""

    often: int
    seconds: float = 0.0
    short: float = 0.0
    names: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Plan:
    """A whole run. `seconds` is the time from the first click to the last."""

    seed: int
    requests: tuple[Request, ...]
    strikes: tuple[Strike, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


FULL = 3_000
"""Number of exports of the run that the weights are defined for."""
GAP, GAP_SHORT = 4.0, 1.5
"""Minimum seconds between two faults, so that the site can start to recover from one before the next."""
STRETCH = 0.25
"""Share of the requests that arrive slightly above capacity, at the end."""
ABOVE = 1.1
"""Load of these requests, as a share of capacity."""


def specs(seed: int, number: int) -> list[Spec]:
    """Return the specs of a run: few for a small one, since each is first exported once without faults."""
    rng = random.Random(f"{seed} specs")
    sizes = range(len(SHOPS))
    wanted = min(60, max(12, number // 5))
    first = [Spec(owner, _fitting(owner, list(FORMATS)[owner % len(FORMATS)]), FIELDS[0]) for owner in sizes]
    drawn = (_spec(rng, sizes) for _ in range(10 * wanted))
    return list(dict.fromkeys([*first, *drawn]))[:wanted]


def _spec(rng: random.Random, sizes: Sequence[int]) -> Spec:
    owner = rng.choices(sizes, WEIGHTS)[0]
    kind = _fitting(owner, rng.choices(list(FORMATS), list(FORMATS.values()))[0])
    return Spec(owner, kind, rng.choice(FIELDS) if kind != "zip" else FIELDS[0])


def _fitting(owner: int, kind: str) -> str:
    """Return the format, or XLSX if a bundle (four files per part) or a PDF (slow) is too much for the largest shop."""
    return "xlsx" if SHOPS[owner] > 300 and kind in ("zip", "pdf") else kind


def make(seed: int, number: int, rate: float, load: float, faults: dict[str, Weight], *, short: bool) -> Plan:
    """Return a plan of `number` exports at `load` of a capacity of `rate` exports per second, ending above capacity."""
    strikes = _strikes(seed, number, faults, short=short)
    gap = GAP_SHORT if short else GAP
    seconds = max(_length(number, rate, load), gap * len(strikes))
    moments = list(_moments(seed, number, rate, load, seconds))
    return Plan(
        seed,
        tuple(_requests(seed, number, moments)),
        tuple(_placed(strikes, seconds)),
        seconds,
    )


def _length(number: int, rate: float, load: float) -> float:
    return number * (1 - STRETCH) / (rate * load) + number * STRETCH / (rate * ABOVE)


def _moments(seed: int, number: int, rate: float, load: float, seconds: float) -> Iterator[float]:
    """Yield the time of each click: random intervals, scaled to a total of `seconds`."""
    rng = random.Random(f"{seed} moments")
    calm = int(number * (1 - STRETCH))
    gaps = [rng.expovariate(rate * (load if index < calm else ABOVE)) for index in range(number)]
    scale, moment = seconds / sum(gaps), 0.0
    for gap in gaps:
        yield round(moment := moment + gap * scale, 3)


def _requests(seed: int, number: int, moments: list[float]) -> Iterator[Request]:
    rng = random.Random(f"{seed} requests")
    known = specs(seed, number)
    weights = [WEIGHTS[spec.owner] * FORMATS[spec.format] for spec in known]
    for index, at in enumerate(moments):
        spec = rng.choices(known, weights)[0] if index >= len(known) else known[index]
        chance = rng.random()
        cancel = round(rng.uniform(0, 2), 2) if chance < 0.03 or index == 1 else None
        yield Request(index + 1, at, spec, twice=0.03 <= chance < 0.06 or index == 2, cancel_after=cancel)


def _strikes(seed: int, number: int, faults: dict[str, Weight], *, short: bool) -> list[Strike]:
    """Return the faults in random order, each variant at least once."""
    rng = random.Random(f"{seed} strikes")
    found: list[Strike] = []
    for kind, weight in faults.items():
        count = max(len(weight.names), round(weight.often * number / FULL))
        seconds = weight.short if short else weight.seconds
        found += [
            Strike(0, kind, seconds, rng.randrange(1_000), weight.names[index % len(weight.names)])
            for index in range(count)
        ]
    rng.shuffle(found)
    return found


def _placed(strikes: list[Strike], seconds: float) -> Iterator[Strike]:
    """Yield the faults with their times, spread evenly over the run."""
    for index, strike in enumerate(strikes):
        at = seconds * (0.02 + 0.96 * index / max(len(strikes), 1))
        yield Strike(round(at, 2), strike.kind, strike.seconds, strike.target, strike.name)
