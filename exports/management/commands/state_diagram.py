from typing import Any

from django.core.management.base import BaseCommand

from exports.states import MOVES, State


class Command(BaseCommand):
    help = "Print the diagram of docs/states.md, generated from the table of transitions in exports/states.py."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as declared by Django; the table needs no checks

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(diagram())


def diagram() -> str:
    """Return MOVES as a Mermaid state diagram. A state without further transitions is final."""
    moves = [
        f"    {source.value} --> {target.value}" for source in State for target in State if target in MOVES[source]
    ]
    ends = [f"    {state.value} --> [*]" for state in State if not MOVES[state]]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.QUEUED.value}", *moves, *ends])
