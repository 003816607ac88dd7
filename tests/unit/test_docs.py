"""Tests of the documentation: links, file names, and figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.page import page, readme
from benchmarks.plots import PLOTS
from benchmarks.run import IMAGES, PAGE, RESULTS
from config.environment import BASE_DIR
from tests import reference
from tests.chaos import table

DOCUMENTS = [BASE_DIR / "README.md", *sorted((BASE_DIR / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(BASE_DIR)))
def test_every_relative_link_has_a_target(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_mentioned_test_exists() -> None:
    named = {
        name for document in DOCUMENTS for name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text())
    }
    assert named
    assert [name for name in sorted(named) if f"def {name[1]}(" not in (BASE_DIR / name[0]).read_text()] == []


def test_every_anchor_in_the_benchmarks_has_a_heading() -> None:
    text = PAGE.read_text()
    headings = {
        re.sub(r"[^\w-]", "", line[3:].lower().replace(" ", "-")) for line in text.split("\n") if line[:3] == "## "
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_benchmark_figures_match_the_results() -> None:
    results = json.loads(RESULTS.read_text())
    assert PAGE.read_text() == page(results)
    assert readme(results) in (BASE_DIR / "README.md").read_text()


def test_plots_match_the_results() -> None:
    results = json.loads(RESULTS.read_text())
    for plot in PLOTS:
        if plot.data(results):
            assert plot.words(results) in (IMAGES / plot.file).read_text()


def test_the_chaos_table_matches_the_published_runs() -> None:
    runs = json.loads(table.PUBLISHED.read_text())
    assert f"{table.BEGIN}{table.tables(runs)}\n{table.END}" in table.PAGE.read_text()


def test_the_reference_matches_the_code() -> None:
    written = {path.name: path.read_text() for path in reference.FOLDER.glob("*.md")}
    assert written == reference.pages(), "run `make reference`"


def test_every_mentioned_file_exists() -> None:
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(
            r"`((?:config|durable|exports|notifications|deploy|tests|benchmarks)/[\w/.]+)`", document.read_text()
        )
    }
    assert [name for name in sorted(named) if not (BASE_DIR / name).exists()] == []


def test_the_steps_of_an_export_name_functions_that_exist() -> None:
    """The table of docs/architecture.md gives the file and the functions of each step."""
    table = (BASE_DIR / "docs/architecture.md").read_text()
    steps = re.findall(r"^\| \d+\. [^|]+\| `([\w/]+\.py)` \| ([^|:]+)", table, re.MULTILINE)
    assert len(steps) == 14
    for file, text in steps:
        source = (BASE_DIR / file).read_text()
        names = [name.split(".")[0] for name in re.findall(r"`([\w.]+)`", text)]
        assert names
        assert [name for name in names if not re.search(rf"\b(def|class) {name}\b", source)] == [], file
