"""The plots of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median as median_of
from typing import Any

from benchmarks.click import LABELS
from benchmarks.contests import CONTESTS, OURS
from benchmarks.ink import FAINT, INK, PEER, SERIES, Plot, Results
from benchmarks.ink import OURS as OUR_COLOUR
from benchmarks.lines import highest, rate, short
from benchmarks.sizes import SIZES, costs


def _figures(results: Results, name: str) -> Any:
    return results["lines"].get(name, {}).get("figures")


# --- speed ----------------------------------------------------------------------------------------------------------


def _speed(results: Results) -> list[tuple[str, dict[str, float]]]:
    """Return, for each contest with peers, rows per second by contender, fastest first."""
    measured = [(line.title, _figures(results, line.name)) for line in CONTESTS if line.peers]
    return [(title, _fastest_first(figures)) for title, figures in measured if figures]


def _fastest_first(figures: Mapping[str, Any]) -> dict[str, float]:
    rates = {name: round(rate(runs)) for name, runs in figures.items()}
    return dict(sorted(rates.items(), key=lambda item: -item[1]))


def _draw_speed(figure: Any, data: list[tuple[str, dict[str, float]]]) -> None:
    grid = figure.subplots(len(data), 1, sharex=True, height_ratios=[len(rates) for _, rates in data])
    for axes, (title, rates) in zip([grid] if len(data) == 1 else grid, data, strict=True):
        names = list(rates)
        axes.barh(
            names, list(rates.values()), color=[OUR_COLOUR if name == OURS else PEER for name in names], height=0.6
        )
        for place, number in enumerate(rates.values()):
            axes.text(number * 1.08, place, short(number), va="center", color=INK, fontsize=9)
        axes.set(xscale="log", title=title, xlim=(50, 6_000_000))
        axes.invert_yaxis()
        axes.minorticks_off()
        axes.tick_params(length=0)
        axes.grid(axis="x", linewidth=0.5)
    axes.set_xlabel("rows per second (logarithmic, more is better)")


# --- sizes ----------------------------------------------------------------------------------------------------------


def _sizes(results: Results) -> dict[str, dict[str, list[float]]] | None:
    if not (figures := _figures(results, "sizes")):
        return None
    return {
        "peak MB": {kind: [highest(runs[str(size)]) or 0 for size in SIZES] for kind, runs in figures.items()},
        "µs": {kind: [round(cost, 2) for cost in costs(runs).values()] for kind, runs in figures.items()},
    }


def _draw_sizes(figure: Any, data: dict[str, dict[str, list[float]]]) -> None:
    titles = {"peak MB": "Peak memory of one process (MB)", "µs": "Time per row (µs, logarithmic)"}
    for axes, (what, series) in zip(figure.subplots(1, 2), data.items(), strict=True):
        for colour, (kind, values) in zip(SERIES, series.items(), strict=False):
            axes.plot(SIZES, values, color=colour, marker="o", label=kind)
        axes.set(
            xscale="log", title=titles[what], xlabel="rows", xticks=SIZES, xticklabels=[f"{size:,}" for size in SIZES]
        )
        highest_of_all = max(max(values) for values in series.values())
        axes.set(**({"ylim": (0, 1.1 * highest_of_all)} if what == "peak MB" else {"yscale": "log"}))
        axes.minorticks_off()
        axes.grid(axis="y", linewidth=0.5)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


# --- the click ------------------------------------------------------------------------------------------------------


def _clicks(results: Results) -> dict[str, list[float]] | None:
    """Return the sorted milliseconds of the clicks, for the cases with enough clicks to show a tail."""
    if not (figures := _figures(results, "click")):
        return None
    return {LABELS.get(case, case): sorted(times) for case, times in figures["times"].items() if len(times) >= 100}


def _draw_clicks(figure: Any, data: dict[str, list[float]]) -> None:
    axes = figure.subplots()
    for colour, (case, times) in zip(SERIES, data.items(), strict=False):
        axes.plot([100 * (place + 1) / len(times) for place in range(len(times))], times, color=colour, label=case)
    axes.axvline(99, color=FAINT, linewidth=1)
    axes.set(title="Response time of a click", xlabel="percentile", ylabel="ms", xlim=(0, 101))
    axes.set(ylim=(0, None))
    axes.grid(axis="y", linewidth=0.5)
    axes.legend(frameon=False, loc="upper left")


# --- fairness -------------------------------------------------------------------------------------------------------


def _fairness(results: Results) -> dict[str, dict[str, list[float]]] | None:
    """Return the seconds of each small export by format and case, and the milliseconds of each /healthz by case."""
    small, probes = _figures(results, "fairness"), _figures(results, "synchronous")
    if not small or not probes:
        return None
    cases = {
        f"{kind}, {case}": [run["seconds"] for run in runs]
        for case in ("alone", "beside")
        for kind, runs in small[case].items()
    }
    return {"seconds": dict(sorted(cases.items())), "ms": probes}


def _draw_fairness(figure: Any, data: dict[str, dict[str, list[float]]]) -> None:
    titles = {"seconds": "50 orders beside ten big exports", "ms": "Response time while exports are made"}
    units = {"seconds": "seconds from the click to READY", "ms": "ms until /healthz responds (logarithmic)"}
    for axes, (what, cases) in zip(figure.subplots(1, 2), data.items(), strict=True):
        for place, (case, values) in enumerate(cases.items()):
            colour = SERIES[1] if case.endswith(("beside", "in requests")) else OUR_COLOUR
            axes.scatter(values, [place] * len(values), color=colour, alpha=0.35, s=22, linewidths=0)
            axes.scatter([median_of(values)], [place], color=colour, marker="|", s=320, linewidths=2.5)
        axes.set(
            title=titles[what],
            xlabel=units[what],
            yticks=range(len(cases)),
            yticklabels=list(cases),
            ylim=(len(cases) - 0.5, -0.5),
        )
        axes.set(**({"xlim": (0, None)} if what == "seconds" else {"xscale": "log"}))
        axes.minorticks_off()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", linewidth=0.5)


# --- time left ------------------------------------------------------------------------------------------------------


def _left(results: Results) -> dict[str, dict[str, list[tuple[float, float]]]] | None:
    """Return pairs of the actual and the estimated seconds left at each look, by format and case."""
    if not (figures := _figures(results, "estimate")):
        return None
    return {
        kind: {
            name: [
                (round(case["seconds"] - look["at"], 2), look["left"])
                for look in case["looks"]
                if look["left"] is not None
            ]
            for name, case in cases.items()
        }
        for kind, cases in figures.items()
    }


def _draw_left(figure: Any, data: dict[str, dict[str, list[tuple[float, float]]]]) -> None:
    for axes, (kind, cases) in zip(figure.subplots(1, len(data), squeeze=False)[0], data.items(), strict=True):
        for colour, (name, looks) in zip(SERIES, cases.items(), strict=False):
            axes.plot([left for left, _ in looks], [estimated for _, estimated in looks], color=colour, label=name)
        most = max((max(pair) for looks in cases.values() for pair in looks), default=1)
        axes.plot([0, most], [0, most], color=PEER, linewidth=1, linestyle="--", label="exact")
        axes.set(title=f"Time left, {kind.upper()}", xlabel="actual seconds left", ylabel="estimated seconds left")
        axes.invert_xaxis()
        axes.grid(linewidth=0.5)
        axes.legend(frameon=False, loc="upper right")


PLOTS = (
    Plot("bench-speed.svg", "Rows per second of Carryall and its peers, by format", _speed, (8.5, 7), _draw_speed),
    Plot("bench-sizes.svg", "Peak memory and time per row, by number of rows", _sizes, (8.5, 3.6), _draw_sizes),
    Plot("bench-click.svg", "Response time of a click, idle and behind big exports", _clicks, (8.5, 3.4), _draw_clicks),
    Plot(
        "bench-fairness.svg",
        "A small export alone and beside ten big ones; response time while exports are made",
        _fairness,
        (8.5, 3),
        _draw_fairness,
    ),
    Plot("bench-left.svg", "Estimated and actual seconds left", _left, (8.5, 3.6), _draw_left),
)
