"""Result of a run as text for the terminal and as a JSON file."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.site import machine
from tests.chaos.verdict import Gate

PACKAGES = ("celery", "kombu", "redis", "django", "psycopg", "django-celery-beat")


def versions(**servers: str) -> dict[str, str]:
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()} | servers


def result(options: Mapping[str, Any], counted: dict[str, Any], gates: Iterable[Gate], **more: Any) -> dict[str, Any]:
    """Return the result of a run as it is written to its JSON file."""
    known: dict[str, Any] = {"machine": machine(), "options": dict(options), **more}
    return known | {"counts": counted, "gates": {gate.name: gate.holds for gate in gates}}


def place(options: Mapping[str, Any], var: Path) -> Path:
    """Return the path of the result file of a run with these options."""
    kind = "control" if options["control"] else options["broker"]
    return var / "chaos" / f"{options['database']}-{kind}-{options['seed']}-{options['number']}.json"


def keep(found: dict[str, Any], var: Path) -> Path:
    """Write a result to its own file and to `chaos.json`, the latest result. Return the path of the former."""
    path = place(found["options"], var)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_finite(found), indent=1) + "\n"
    path.write_text(text)
    (var / "chaos.json").write_text(text)
    return path


def _finite(value: Any) -> Any:
    """Replace infinity, which JSON does not have, with "never"."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return "never" if isinstance(value, float) and math.isinf(value) else value


def table(found: Mapping[str, Any]) -> str:
    """Return the counts and gates as text for the terminal."""
    lines = [f"{name:<28} {_text(value)}" for name, value in found["counts"].items()]
    marks = [f"{'ok  ' if holds else 'FAIL'} {name}" for name, holds in found["gates"].items()]
    return "\n".join(["", *lines, "", *marks])


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else str(value)


def say(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
