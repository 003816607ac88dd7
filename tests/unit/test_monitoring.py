"""Tests of the alert rules, the dashboard and the table of metrics: they name metrics that /metrics serves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.environment import BASE_DIR
from exports.upkeep.metrics import METRICS
from tests.support.monitoring import FOLDER, promtool

KNOWN = {metric.name: metric for metric in METRICS}
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
RULES = (FOLDER / "alerts.yaml").read_text()


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def named_in(text: str) -> set[str]:
    return set(re.findall(r"\bcarryall_\w+", text))


@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")])
def test_promtool_accepts_the_rules(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def test_promtool_accepts_the_example_of_a_scrape() -> None:
    promtool("check", "config", "--syntax-only", "prometheus.yaml")


def test_promtool_accepts_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    """As recording rules, because promtool checks no expression alone."""
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "dashboard.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


@pytest.mark.parametrize("name", ["alerts.yaml", "alerts_test.yaml", "dashboard.json"])
def test_every_metric_that_is_named_is_served(name: str) -> None:
    named = named_in((FOLDER / name).read_text())
    assert named
    assert named <= KNOWN.keys()


def test_the_dashboard_shows_every_metric() -> None:
    assert named_in(" ".join(expressions())) == KNOWN.keys()


def test_labels_in_expressions_are_those_of_the_metrics() -> None:
    allowed = {label for metric in METRICS for label in metric.labels}
    used = {label.strip() for text in [RULES, *expressions()] for found in re.findall(r"by \(([^)]*)\)", text)
            for label in found.split(",")}  # fmt: skip
    assert used <= allowed


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = RULES.split("- alert: ")[1:]
    assert len(alerts) == 9
    for alert in alerts:
        assert re.search(r"for: \d+m\n", alert)
        assert re.search(r"severity: (warning|critical)\n", alert)
        assert "summary: " in alert
        assert len(alert.partition("description: >-")[2].split()) > 20


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"carryall_[a-z_]+", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert metric.text.endswith(".")


def test_the_table_in_the_guide_is_that_of_the_code() -> None:
    page = (BASE_DIR / "docs/how-to/metrics.md").read_text()
    rows = re.findall(r"^\| `(carryall_\w+)` \| ([^|]*?) ?\| ([^|]+) \|$", page, re.MULTILINE)
    listed = [(name, tuple(re.findall(r"`(\w+)`", labels)), text) for name, labels, text in rows]
    assert listed == [(metric.name, metric.labels, metric.text) for metric in METRICS]
