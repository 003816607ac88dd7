"""Style of the plots: an SVG whose colours follow the reader's light or dark scheme, with its data as description."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

Results = Mapping[str, Any]

SCHEMES = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "faint": ("#d0d7de", "#30363d"),
    "peer": ("#8c959f", "#7d8590"),
    "ours": ("#0f766e", "#2dd4bf"),
    "second": ("#b45309", "#f59e0b"),
    "third": ("#1d4ed8", "#60a5fa"),
    "fourth": ("#9333ea", "#c084fc"),
    "fifth": ("#be123c", "#fb7185"),
    "sixth": ("#4d7c0f", "#a3e635"),
}
"""Each colour in the light and in the dark scheme."""
PAPER, INK, FAINT, PEER, OURS, SECOND, THIRD, FOURTH, FIFTH, SIXTH = (light for light, dark in SCHEMES.values())
SERIES = (OURS, SECOND, THIRD, FOURTH, FIFTH, SIXTH)

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "carryall", "font.family": "sans-serif", "font.size": 10,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "savefig.facecolor": PAPER, "grid.color": FAINT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 11,
    "axes.titleweight": "bold", "axes.axisbelow": True, "lines.linewidth": 2, "lines.markersize": 5,
    "figure.constrained_layout.use": True,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A plot: its file in docs/images, its alternative text, its data, and the function that draws it."""

    file: str
    alt: str
    data: Callable[[Results], Any]
    """Returns the data, serializable as JSON and empty if not measured."""
    size: tuple[float, float]
    draw: Callable[[Any, Any], None]
    """Draws the data on an empty figure."""

    def words(self, results: Results) -> str:
        """Return the alternative text and the data, escaped as in the SVG."""
        return escape(f"{self.alt}. Data: {json.dumps(self.data(results))}", quote=False)

    def svg(self, results: Results) -> str:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        data, out = self.data(results), io.StringIO()
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=self.size)
            self.draw(figure, data)
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        return _finished(out.getvalue(), self.words(results))


def _finished(svg: str, words: str) -> str:
    """Return the SVG with named colours, the two colour schemes and a description."""
    for name, (light, _) in SCHEMES.items():
        svg = svg.replace(light, f"var(--{name}, {light})")
    light, dark = ("".join(f"--{name}: {pair[which]}; " for name, pair in SCHEMES.items()) for which in (0, 1))
    style = f"<style>:root {{ {light}}} @media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}</style>"
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    tag = re.search(r"<svg[^>]*>", svg)
    assert tag is not None
    svg = f"{svg[: tag.end()]}\n <desc>{words}</desc>\n {style}{svg[tag.end() :]}"
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
