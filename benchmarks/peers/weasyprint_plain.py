"""WeasyPrint in the simplest way: all rows in one HTML table, A4 landscape, headings on each page, "Page 1 of 9"."""

from __future__ import annotations

from html import escape
from pathlib import Path

from weasyprint import HTML

from benchmarks import meter
from benchmarks.peers.common import HEADINGS, booked, printed

STYLE = """
@page { size: A4 landscape; margin: 15mm; @bottom-right { content: "Page " counter(page) " of " counter(pages) } }
body { font: 8pt "DejaVu Sans", sans-serif }
table { width: 100%; border-collapse: collapse }
th, td { padding: 2pt 4pt; text-align: left; border-bottom: 0.5pt solid #ccc }
td:nth-child(1), td:nth-child(6), td:nth-child(7) { text-align: right }
"""


def write(rows: int, path: Path) -> None:
    HTML(string=_page(rows)).write_pdf(path)


def _page(rows: int) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in printed(row)) + "</tr>" for row in booked(rows)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bookings</title><style>{STYLE}</style>'
        f"</head><body><h1>Bookings</h1><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></body></html>"
    )


if __name__ == "__main__":
    meter.main(write)
