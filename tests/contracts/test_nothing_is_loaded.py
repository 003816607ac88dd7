"""Neither data nor templates cause a request, a redirect or the reading of a file, in any format."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pypdf import PdfReader
from weasyprint import HTML

from exports.datasets import Column
from exports.formats import formats
from exports.formats.pdf.html import write_pdf
from tests.support.listener import Listener, listening, loads
from tests.support.pdf_designs import FOLDER, add_template, design, plain_rows, templates_available, written_pdf
from tests.support.specimens import collect, exported, files_of

EVERY = pytest.mark.parametrize("key", [kind.key for kind in formats])
CANARY = "the canary sings"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    for name in ("canary", "sheet", "import", "attached", "file"):
        (tmp_path / name).write_text(f'p::before {{ content: "{CANARY}" }}')
    with listening(tmp_path / "canary") as server:
        yield server


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the addresses that this process connects to, as a list that grows during the test."""
    addresses: list[Any] = []
    connect = socket.socket.connect

    def spy(self: socket.socket, address: Any) -> None:
        addresses.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", spy)
    return addresses


def read_whole(content: bytes) -> str:
    """Return the text of the pages, the attachments, and the raw content of a PDF."""
    reader = PdfReader(BytesIO(content))
    attached = "".join(str(each) for each in reader.attachments.values())
    return "".join(page.extract_text() for page in reader.pages) + attached + content.decode("latin-1")


def test_listener_records_what_the_default_fetcher_loads(listener: Listener) -> None:
    HTML(string=loads(listener.url)).write_pdf()
    assert {"/sheet", "/import", "/image", "/on"} <= set(listener.asked)


def test_canary_appears_if_the_default_fetcher_reads_files(listener: Listener) -> None:
    assert CANARY in read_whole(HTML(string=loads(listener.canary.parent.as_uri())).write_pdf())


@pytest.mark.parametrize("scheme", ["http", "file", "metadata"])
def test_a_document_loads_nothing(listener: Listener, connections: list[Any], scheme: str) -> None:
    out = BytesIO()
    urls = {"http": listener.url, "file": listener.canary.parent.as_uri(), "metadata": "http://169.254.169.254"}
    write_pdf(loads(urls[scheme]), out)
    text = read_whole(out.getvalue())
    assert (listener.asked, connections) == ([], [])
    assert "still here" in text
    assert CANARY not in text


def test_table_template_loads_nothing(listener: Listener, connections: list[Any]) -> None:
    table = (FOLDER / "table.html").read_text()
    with templates_available():
        kind = design(
            add_template(f"<title>t</title>{loads(listener.url)}{loads(listener.canary.parent.as_uri())}{table}")
        )
        text = read_whole(written_pdf(kind, plain_rows(3)))
    assert (listener.asked, connections) == ([], [])
    assert "R00002" in text
    assert CANARY not in text


@EVERY
@pytest.mark.django_db
@pytest.mark.usefixtures("artifact_dir")
def test_data_loads_nothing(ada: User, listener: Listener, connections: list[Any], key: str) -> None:
    urls = [listener.url, f"{listener.url}/far", listener.canary.as_uri(), "http://169.254.169.254/latest/meta-data/"]
    texts = [text.format(url=url) for url in urls for text in ("{url}", '<img src="{url}">', '@import url("{url}");')]
    texts += [f'=WEBSERVICE("{listener.url}")', f'=HYPERLINK("{listener.url}")', loads(listener.url)]
    ada.last_name = f"@import '{listener.url}';"
    ada.save()
    collect({f"{number}": {"text": text} for number, text in enumerate(texts)})
    export = exported(
        ada, key, (Column("name", "name"), Column("text", f"<img src='{listener.url}'>")), label=f"url({listener.url})"
    )
    assert (listener.asked, connections) == ([], [])
    assert not any(CANARY in content.decode("latin-1") for content in files_of(export).values())
