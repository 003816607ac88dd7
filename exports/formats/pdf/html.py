"""HTML to PDF with WeasyPrint. Every use of the library is in this package."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

COLLECTOR_THRESHOLD = 50_000
"""WeasyPrint makes millions of objects that live until the end: collecting every 700 costs it a third of its time."""


def write_pdf(html: str, out: BinaryIO) -> int:
    """Lay `html` out, write it to `out` as PDF, and return the number of pages. Nothing is loaded from anywhere."""
    from weasyprint import HTML

    from exports.formats.pdf.fetcher import Closed

    with _rare_collections():
        document = HTML(string=html, url_fetcher=Closed()).render()
        document.write_pdf(out)
        return len(document.pages)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Inside, the cyclic collector runs seldom; at the end it takes what was left."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECTOR_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.collect()
