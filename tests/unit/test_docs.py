"""What the documents claim is there, and is what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.page import page, readme
from benchmarks.plots import PLOTS
from benchmarks.run import IMAGES, PAGE, RESULTS
from config.environment import BASE_DIR
from tests.chaos import table

DOCUMENTS = [BASE_DIR / "README.md", *sorted((BASE_DIR / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(BASE_DIR)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_link_within_the_benchmarks_leads_to_a_heading() -> None:
    text = PAGE.read_text()
    headings = {
        re.sub(r"[^\w-]", "", line[3:].lower().replace(" ", "-")) for line in text.split("\n") if line[:3] == "## "
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_the_figures_are_the_measured_ones() -> None:
    results = json.loads(RESULTS.read_text())
    assert PAGE.read_text() == page(results)
    assert readme(results) in (BASE_DIR / "README.md").read_text()


def test_the_plots_show_the_measured_figures() -> None:
    results = json.loads(RESULTS.read_text())
    for plot in PLOTS:
        if plot.data(results):
            assert plot.words(results) in (IMAGES / plot.file).read_text()


def test_the_trials_are_those_that_were_run() -> None:
    runs = json.loads(table.PUBLISHED.read_text())
    assert f"{table.BEGIN}{table.tables(runs)}\n{table.END}" in table.PAGE.read_text()


def test_every_file_that_is_named_exists() -> None:
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(
            r"`((?:config|durable|exports|notifications|deploy|tests|benchmarks)/[\w/.]+)`", document.read_text()
        )
    }
    assert [name for name in sorted(named) if not (BASE_DIR / name).exists()] == []
