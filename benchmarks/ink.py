"""How the plots look: an SVG whose colours follow the reader's light or dark scheme, with its data inside."""

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
"""Each colour on light paper and on dark."""
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
    """One picture: its file in docs/images, its words for who cannot see it, its data, and how they are drawn."""

    file: str
    alt: str
    data: Callable[[Results], Any]
    """What is drawn, as JSON; nothing when it was not measured."""
    size: tuple[float, float]
    draw: Callable[[Any, Any], None]
    """Takes the empty figure and the data."""

    def words(self, results: Results) -> str:
        """The picture in words, with its data, as they stand inside the SVG."""
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
    """The SVG with colours by name, the two schemes that say what the names are, and a description."""
    for name, (light, _) in SCHEMES.items():
        svg = svg.replace(light, f"var(--{name}, {light})")
    light, dark = ("".join(f"--{name}: {pair[which]}; " for name, pair in SCHEMES.items()) for which in (0, 1))
    style = f"<style>:root {{ {light}}} @media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}</style>"
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    tag = re.search(r"<svg[^>]*>", svg)
    assert tag is not None
    svg = f"{svg[: tag.end()]}\n <desc>{words}</desc>\n {style}{svg[tag.end() :]}"
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
