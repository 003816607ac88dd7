"""reportlab at its fastest: the raw canvas, one string drawn per cell at a fixed position, no layout."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import matplotlib as mpl
from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from benchmarks import meter
from benchmarks.peers.common import HEADINGS, booked, printed

FONT = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""A TrueType font that is always installed here. reportlab's own fonts have no Greek."""
LINES, TOP, LINE = 38, 540, 13
LEFTS = (45, 90, 175, 265, 520, 595, 650, 725)
RIGHT = {0: 80, 5: 640, 6: 715}
"""Right edges of the numeric columns, by column index."""


def write(rows: int, path: Path) -> None:
    registerFont(TTFont("Sans", str(FONT)))
    canvas, remaining = Canvas(str(path), landscape(A4), pageCompression=1), booked(rows)
    while page := list(islice(remaining, LINES)):
        canvas.setFont("Sans", 8)
        _draw(canvas, HEADINGS, TOP)
        for number, row in enumerate(page, 1):
            _draw(canvas, printed(row), TOP - LINE * number)
        canvas.drawRightString(797, 25, f"Page {canvas.getPageNumber()}")
        canvas.showPage()
    canvas.save()


def _draw(canvas: Canvas, cells: tuple[str, ...], height: float) -> None:
    for index, cell in enumerate(cells):
        if index in RIGHT:
            canvas.drawRightString(RIGHT[index], height, cell)
        else:
            canvas.drawString(LEFTS[index], height, cell)


if __name__ == "__main__":
    meter.main(write)
