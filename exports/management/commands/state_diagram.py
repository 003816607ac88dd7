from typing import Any

from django.core.management.base import BaseCommand

from exports.states import MOVES, State


class Command(BaseCommand):
    help = "Print the diagram of docs/states.md, made from the one table of moves in exports/states.py."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own shape; the table needs none of them

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(diagram())


def diagram() -> str:
    """The moves as a Mermaid state diagram; a state without a move on is an end."""
    moves = [
        f"    {source.value} --> {target.value}" for source in State for target in State if target in MOVES[source]
    ]
    ends = [f"    {state.value} --> [*]" for state in State if not MOVES[state]]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.QUEUED.value}", *moves, *ends])
