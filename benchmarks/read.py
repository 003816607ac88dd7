"""Time to render a page in the middle of a PDF: `python -m benchmarks.read carryall|weasyprint`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pypdfium2
from pypdf import PdfReader

from benchmarks import meter, one
from benchmarks.peers import weasyprint_plain

WRITERS: Mapping[str, Callable[[int, Path], object]] = {
    "carryall": lambda rows, path: one.export("pdf", rows, path),
    "weasyprint": weasyprint_plain.write,
}
DOTS = 72
"""Resolution in dots per inch."""


def by_poppler(path: Path, page: int) -> None:
    _run("pdftoppm", "-r", DOTS, "-f", page, "-l", page, path, path.with_name("poppler"))


def by_mupdf(path: Path, page: int) -> None:
    _run("mutool", "draw", "-q", "-r", DOTS, "-o", path.with_name("mupdf.ppm"), path, page)


def by_pdfium(path: Path, page: int) -> None:
    document = pypdfium2.PdfDocument(path)
    document[page - 1].render(scale=DOTS / 72)
    document.close()


READERS: Mapping[str, Callable[[Path, int], None]] = {
    "poppler": by_poppler, "pdfium": by_pdfium, "mupdf": by_mupdf,
}  # fmt: skip


def _run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=120)


def main(writer: str) -> None:
    from django.conf import settings

    rows: int = getattr(settings, "LEDGER_ROWS")  # noqa: B009 - the site's own settings have no such name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.pdf"
        WRITERS[writer](rows, path)
        pages = len(PdfReader(path).pages)
        seconds = {name: _seconds(read, path, pages // 2 + 1) for name, read in READERS.items()}
        print(json.dumps({"rows": rows, "pages": pages, "bytes": path.stat().st_size, **seconds}))


def _seconds(read: Callable[[Path, int], None], path: Path, page: int) -> object:
    return meter.measured(lambda: read(path, page))["seconds"]


if __name__ == "__main__":
    main(sys.argv[1])
