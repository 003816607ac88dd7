"""Tables of docs/reliability.md, written from the published runs: `python -m tests.chaos --table`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lines import markdown
from deploy.steps import ROOT

PUBLISHED = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- runs: written by `python -m tests.chaos --publish` -->\n", "<!-- end of runs -->"
NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
BROKERS = {"redis": "", "sentinel": ", Sentinel", "rabbitmq": ", RabbitMQ"}
Run = Mapping[str, Any]
JOBS_AND_WEBHOOKS = ("jobs_lost", "job_effects_twice", "untold_by_webhook", "double_webhook_ids")
"""Counts that older runs lack."""
HEAD = (
    "run", "seed", "accepted", "lost", "wrong", "never mailed", "notified twice in the app", "mails twice",
    "of these in the window", "jobs lost", "job effects twice", "never told by webhook", "webhooks with two ids",
    "recovery p50 / p99 / max, s", "click p50 / p99, ms", "faults",
)  # fmt: skip


def publish(files: Iterable[Path], target: Path = PUBLISHED, page: Path = PAGE) -> None:
    """Add these runs to those in `target`, and write the tables of all to `page`. The same run is replaced."""
    found = [
        *json.loads(target.read_text() if target.exists() else "[]"),
        *(json.loads(file.read_text()) for file in files),
    ]
    runs = sorted({_order(run): run for run in found}.values(), key=_order)
    target.write_text(json.dumps(runs, indent=1) + "\n")
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}{tables(runs)}\n{END}{rest.partition(END)[2]}")


def _order(run: Run) -> tuple[Any, ...]:
    options = run["options"]
    return options["control"], options["database"], options["broker"], options["seed"], options["number"]


def tables(runs: Sequence[Run]) -> str:
    """Return the tables of docs/reliability.md for these runs. A test compares them with the page."""
    ours = [run for run in runs if not run["options"]["control"]]
    lines = [*markdown(HEAD, [_row(run) for run in runs], texts=1), "", *_faults(runs), "", *_outcomes(ours)]
    return "\n".join(lines)


def _row(run: Run) -> tuple[object, ...]:
    counts, options = run["counts"], run["options"]
    return (
        _name(run),
        options["seed"],
        f"{counts['accepted']:,}",
        _bold(counts["lost"]),
        _bold(counts["wrong"]),
        _bold(counts["untold_by_mail"]),
        counts.get("double_in_app", "–"),
        counts["double_mail"],
        counts.get("double_mail_inside_window", "–"),
        *(counts.get(name, "–") for name in JOBS_AND_WEBHOOKS),
        _spread(counts.get("recovery"), "p50", "p99", "max"),
        _spread(counts.get("click"), "p50", "p99", by=1_000),
        sum(counts["strikes"].values()),
    )


def _name(run: Run) -> str:
    options = run["options"]
    place = NAMES[options["database"]] + BROKERS[options["broker"]]
    return f"plain Celery, {place}" if options["control"] else place


def _bold(number: int) -> str:
    return f"**{number}**" if number else "0"


def _spread(figures: Mapping[str, Any] | None, *names: str, by: float = 1.0) -> str:
    if not figures:
        return "–"
    return " / ".join(_short(figures[name], by) for name in names)


def _short(figure: Any, by: float) -> str:
    if isinstance(figure, int | float):
        return f"{figure * by:.0f}" if figure * by >= 10 or not figure % 1 else f"{figure * by:.1f}"
    return str(figure or "–")


def _faults(runs: Sequence[Run]) -> list[str]:
    """Return the table of how often each fault struck."""
    kinds = sorted({kind for run in runs for kind in run["counts"]["strikes"]})
    heads = ["fault", *(f"{_name(run)}, {run['options']['seed']}" for run in runs)]
    return markdown(heads, [[kind, *(run["counts"]["strikes"].get(kind, "–") for run in runs)] for kind in kinds])


def _outcomes(runs: Sequence[Run]) -> list[str]:
    """Return the table of final states, recoveries and timings."""
    heads = ["", *(f"{_name(run)}, {run['options']['seed']}" for run in runs)]
    return markdown(heads, _facts(runs))


def _facts(runs: Sequence[Run]) -> Iterator[list[object]]:
    def line(what: str, *values: object) -> list[object]:
        return [what, *values]

    counted = [run["counts"] for run in runs]
    for what in ("ready", "cancelled"):
        yield line(what, *(counts[what] for counts in counted))
    yield line("failed", *(_words(counts["failed"]) for counts in counted))
    yield line("rows held by a process that died", *(counts["recovery"]["rows"] for counts in counted))
    yield line("processes killed at a named point", *(sum(counts["fallen"].values()) for counts in counted))
    yield line("programs that ended unexpectedly", *(_words(counts["unexpected_exits"]) for counts in counted))
    yield line("clicks refused", *(_words(counts["clicks"]["refused"]) for counts in counted))
    yield line("rows without an answer to the client", *(counts["recorded_without_an_answer"] for counts in counted))
    yield line("attempts beyond the minimum, p50 / max", *(_pair(counts["attempts_beyond_need"]) for counts in counted))
    ends = (_spread(counts["click_to_end"], "p50", "p99", "max") for counts in counted)
    yield line("click to end, p50 / p99 / max, s", *ends)
    slots = (f"{counts['slots']['expected']} / {counts['slots']['missed']}" for counts in counted)
    yield line("slots expected / missed", *slots)
    yield line("capacity, exports per second", *(run["rate"] for run in runs))
    yield line("LOAD, share of the capacity", *(run["options"]["load"] for run in runs))
    yield line("seconds", *(f"{run['seconds']:.0f}" for run in runs))


def _words(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "0"


def _pair(figures: Mapping[str, Any]) -> str:
    return f"{_short(figures['p50'], 1)} / {_short(figures['max'], 1)}"
