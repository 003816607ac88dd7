"""Run a whole site under faults: `python -m tests.chaos --number 300 --seed 1 --database postgresql`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from deploy.steps import ROOT, Fault
from tests.chaos import table
from tests.chaos.broker import BROKERS
from tests.chaos.run import Choice, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--number", "-n", type=int, default=300, help="number of exports")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--broker", choices=tuple(BROKERS), default="redis")
    parser.add_argument("--load", type=float, default=0.5, help="share of the measured capacity")
    parser.add_argument("--rate", type=float, default=0.0, help="exports per second; measured if omitted")
    parser.add_argument("--short", action="store_true", help="leases of a few seconds, and short faults")
    parser.add_argument("--one-machine", action="store_true", help="workers see each other's processes")
    parser.add_argument("--control", action="store_true", help="run plain Celery instead of the site")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder")
    parser.add_argument(
        "--publish", nargs="+", type=Path, metavar="FILE", help="publish these runs in docs/reliability.md"
    )
    parser.add_argument("--table", action="store_true", help="print the tables of docs/reliability.md and exit")
    parser.add_argument("--var", type=Path, default=ROOT / "var", help="folder of the results")
    options = vars(parser.parse_args())
    var, published, print_tables = options.pop("var"), options.pop("publish"), options.pop("table")
    if published or print_tables:
        return _publish(published or [])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Terminated."))
    try:
        found = run(Choice(**options), var)
    except KeyboardInterrupt:
        print("Interrupted; the run's folder is kept.", file=sys.stderr)
        return 130
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 2
    return 0 if all(found["gates"].values()) else 1


def _publish(files: list[Path]) -> int:
    if files:
        table.publish(files)
    print(table.tables(json.loads(table.PUBLISHED.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
