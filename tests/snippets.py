"""Write the Python blocks of the documentation to files, and check their types with mypy: a part of `make check`.

python -m tests.snippets

Blocks that begin with a prompt (`>>>`) or a shell command are left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "var" / "snippets"
LENIENT = [
    "--ignore-missing-imports",
    "--allow-untyped-defs",
    "--disable-error-code=no-any-return",
    "--no-warn-unused-ignores",
]
"""The models of the reader's own app do not exist here, and short examples leave annotations out."""
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets() -> dict[str, str]:
    """Return the blocks by the name of a module for each."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {
        f"{document.stem.lower()}_{number}": block
        for document in documents
        for number, block in enumerate(BLOCK.findall(document.read_text()), start=1)
        if not block.startswith((">>>", "$", "#!"))
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
