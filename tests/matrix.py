"""Test the built package on each Python and Django: `make matrix`. Prints a line per pair, and exits 1 if one failed.

Each pair has an environment of its own, with the wheel, all extras and what the tests need. It runs the unit tests of
this checkout, and the tests of the minimal site with the apps of the wheel. Their output is in var/matrix/*.log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from itertools import product
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "var" / "matrix"
UV = str(Path(sys.executable).with_name("uv"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DJANGOS = ("5.2", "6.0", "6.1")
NEEDS_PYTHON_312 = ("6.0", "6.1")
"""According to Django's release notes."""


def reason_against(python: str, django: str) -> str:
    """Return why no site can have this pair, or ""."""
    if django in NEEDS_PYTHON_312 and python == "3.11":
        return f"Django {django} needs Python 3.12"
    for line in requires("django-celery-beat") or []:
        need = Requirement(line)
        if need.name.lower() == "django" and not need.specifier.contains(django):
            return f"django-celery-beat {version('django-celery-beat')} needs {line}"
    return ""


def result(python: str, django: str, wheel: Path) -> str:
    """Test one pair. Return "passed", or "failed" or "not available" with the reason."""
    if reason := reason_against(python, django):
        return f"not available: {reason}"
    place, log = FOLDER / f"{python}-{django}", FOLDER / f"{python}-{django}.log"
    log.unlink(missing_ok=True)
    interpreter = str(place / "bin" / "python")
    if not _run(log, ROOT, UV, "venv", "--quiet", "--clear", "--python", python, str(place)):
        return f"not available: Python {python} is not on this machine, and uv could not fetch it"
    install = (UV, "pip", "install", "--quiet", "--python", interpreter)
    package = f"carryall[all] @ {wheel.as_uri()}"
    # The minimal site runs away from the checkout, whose apps would be imported instead of those of the wheel.
    steps = (
        ("the installation", ROOT, (*install, "-r", "requirements/dev.txt")),
        ("the installation", ROOT, (*install, f"django~={django}.0", package)),
        ("unit tests", ROOT, (interpreter, "-m", "pytest", "-q", "-n", "auto", "-m", "not slow", "tests/unit")),
        ("the minimal site", wheel.parent, (interpreter, "-m", "tests.hosts", "minimal")),
    )
    for name, folder, command in steps:
        if not _run(log, folder, *command):
            return f"failed: {name}; see {log.relative_to(ROOT)}"
    return "passed"


def _run(log: Path, folder: Path, *command: str) -> bool:
    """Run a command with its output in the log. Return whether it succeeded."""
    with log.open("a") as output:
        print("$", *command, file=output, flush=True)
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"LIVES": "4"}, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    return done.returncode == 0


def build() -> Path:
    """Build the wheel, in a folder with the tests of the sites. Return its path."""
    folder = FOLDER / "package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tests" / "hosts", folder / "tests" / "hosts")
    (folder / "tests" / "__init__.py").touch()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> int:
    wheel = build()
    failed = False
    for python, django in product(PYTHONS, DJANGOS):
        found = result(python, django, wheel)
        print(f"Python {python}, Django {django}: {found}", flush=True)
        failed |= found.startswith("failed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
