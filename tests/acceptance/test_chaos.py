"""Tests of the short form of `make chaos`: thirty exports while each fault strikes once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from deploy.steps import ROOT
from tests.chaos.faults import SHORT_POINTS, faults

SIZE = 30
SECONDS = 300
"""Timeout of the run, which usually takes about 80 s."""
REACHED_BY_CHANCE = {"storage"}
"""Faults that may miss in a run this small: each of their variants strikes only once."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    var = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, "-m", "tests.chaos", "--number", str(SIZE), "--short", "--var", str(var)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (var / "chaos.json").exists(), done.stdout + done.stderr
    return dict(json.loads((var / "chaos.json").read_text()))


def test_every_gate_holds(found: dict[str, Any]) -> None:
    assert [gate for gate, holds in found["gates"].items() if not holds] == []
    assert found["counts"]["accepted"] >= SIZE
    assert found["counts"]["jobs"]["done"] >= SIZE


def test_every_fault_has_struck(found: dict[str, Any]) -> None:
    known = faults("postgresql", "redis")
    counts = found["counts"]
    assert known.keys() == counts["strikes"].keys()
    assert counts["strikes_in_vain"].keys() <= REACHED_BY_CHANCE


def test_processes_were_killed_at_points_and_their_rows_recovered(found: dict[str, Any]) -> None:
    counts = found["counts"]
    assert counts["fallen"].keys() <= set(SHORT_POINTS)
    assert "mail-accepted" in counts["fallen"]
    assert len(counts["fallen"]) > len(SHORT_POINTS) // 2
    assert counts["recovery"]["rows"] > 0
    assert counts["double_mail"] == counts["double_mail_inside_window"] > 0
