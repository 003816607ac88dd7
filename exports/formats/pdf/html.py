"""Conversion of HTML to PDF with WeasyPrint, which only this package uses."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

COLLECTOR_THRESHOLD = 50_000
"""WeasyPrint keeps millions of objects until the end. Collections at the default of 700 take a third of its time."""


def write_pdf(html: str, out: BinaryIO) -> int:
    """Lay out `html`, write the PDF to `out` and return the number of pages. External resources are not loaded."""
    from weasyprint import HTML

    from exports.formats.pdf.fetcher import RefusingFetcher

    with _rare_collections():
        document = HTML(string=html, url_fetcher=RefusingFetcher()).render()
        document.write_pdf(out)
        return len(document.pages)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Run the garbage collector rarely inside the block, and once at its end."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECTOR_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.collect()
