"""Write the Python blocks of the documentation to files, and check their types with mypy: a part of `make check`.

python -m tests.snippets

A block marked `py` is a fragment: names that it does not define are somewhere else in the reader's file. One marked
`python` is complete. Imports must exist in both, but for the modules of the reader's site (pyproject.toml names them).
Blocks that begin with a prompt (`>>>`) or a shell command are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "var" / "snippets"
LENIENT = [
    "--allow-untyped-defs",
    "--allow-incomplete-defs",
    "--allow-any-generics",
    "--disable-error-code=no-any-return",
    "--no-warn-unused-ignores",
]
"""Short examples leave annotations out."""
BLOCK = re.compile(r"^ *```(py|python)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FRAGMENT = '# mypy: disable-error-code="name-defined,misc", allow-subclassing-any\n'


def snippets() -> dict[str, str]:
    """Return the blocks by the name of a module for each."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {
        f"{document.stem.lower().replace('-', '_')}_{number}": (FRAGMENT if mark == "py" else "") + dedent(block)
        for document in documents
        for number, (mark, block) in enumerate(BLOCK.findall(document.read_text()), start=1)
        if not block.lstrip().startswith((">>>", "$", "#!"))
    }


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name, text in snippets().items():
        (FOLDER / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *LENIENT, *map(str, sorted(FOLDER.glob("*.py")))]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
