"""Hashes of the content of downloaded files, equal for two exports of the same rows.

Two exports of the same rows differ in the time of the click, the period's first day (unique per request), the export's
id, and the timestamps inside an archive. The hash leaves these out.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO

OWN_DAYS = re.compile(rb"\d{4}-\d\d-\d\d-to-\d{4}-\d\d-\d\d")
"""Matches a period in a file name."""
DESCRIPTIONS = ("manifest.json", "datapackage.json")
"""Members of a bundle with its id and the time of the click."""
OWN_WORDS = re.compile(r"\d{1,2}[A-Z]\w+?\d{4}to31December2100|Requested\d\d/\d\d/\d{4}\d\d:\d\d")
"""Matches the period and the time of the click in the text of a page without its spaces."""


def content(body: bytes, kind: str) -> str:
    """Return the SHA-256 of the content of a file of this format, or "unreadable: ..." with the error."""
    found = hashlib.sha256()
    try:
        for piece in _pieces(body, kind):
            found.update(hashlib.sha256(piece).digest())
    except Exception as error:  # noqa: BLE001 - any error of a reader counts as different content
        return f"unreadable: {error!r}"
    return found.hexdigest()


def _pieces(body: bytes, kind: str) -> Iterator[bytes]:
    match kind:
        case "pdf":
            yield from _pages(body)
        case "xlsx":
            yield from _members(body, lambda name: name.startswith(("xl/worksheets/", "xl/sharedStrings")))
        case "zip":
            yield from _members(body, lambda name: name.endswith((".csv", ".json")) and not name.endswith(DESCRIPTIONS))
        case _:
            yield body


def _members(body: bytes, wanted: object) -> Iterator[bytes]:
    with zipfile.ZipFile(BytesIO(body)) as archive:
        assert callable(wanted)
        if archive.testzip() is not None:
            raise ValueError("a member of the archive does not match its checksum")
        for name in sorted(filter(wanted, archive.namelist())):
            yield OWN_DAYS.sub(b"", name.encode())
            yield archive.read(name)


def _pages(body: bytes) -> Iterator[bytes]:
    from pypdf import PdfReader

    for page in PdfReader(BytesIO(body)).pages:
        yield OWN_WORDS.sub("", "".join(page.extract_text().replace("\0", "").split())).encode(errors="surrogatepass")


def content_of(path: str, kind: str) -> str:
    """Return `content` of the file at `path`. Runs in a separate process."""
    with open(path, "rb") as file:  # noqa: PTH123
        return content(file.read(), kind)
