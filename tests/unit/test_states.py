"""The table of moves, the sets derived from it, and the page that documents it."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from config.environment import BASE_DIR
from exports.management.commands.state_diagram import diagram
from exports.models import Export
from exports.states import MOVES, OPEN, RETRYABLE, PartState, State, sources
from tests.support.exports import export_in

ALL_MOVES = list(product(State, State))


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(State)


def test_an_open_export_can_always_end() -> None:
    for state in OPEN:
        assert {State.FAILED, State.CANCELLED} <= MOVES[state]


def test_a_ready_export_can_only_expire() -> None:
    assert MOVES[State.READY] == {State.EXPIRED}
    assert MOVES[State.EXPIRED] == frozenset()


def test_the_retryable_states_are_failed_and_cancelled() -> None:
    assert {State.FAILED, State.CANCELLED} == RETRYABLE


def test_sources_are_the_inverse_of_the_table() -> None:
    assert {(source, target) for target in State for source in sources(target)} == {
        (source, target) for source, target in ALL_MOVES if target in MOVES[source]
    }


def facts_of(target: State) -> dict[str, Any]:
    """Return the fields that the database requires with a move to `target`."""
    now = timezone.now()
    return {
        "finished_at": None if target in OPEN else now,
        "next_attempt_at": now if target in (State.QUEUED, State.ASSEMBLING) else None,
        "error_code": "boom" if target == State.FAILED else "",
        "artifact": "key" if target == State.READY else "",
        "sha256": "abc",
        "size": 3,
        "expires_at": now,
    }


@pytest.mark.django_db
@pytest.mark.parametrize(("source", "target"), ALL_MOVES, ids=[f"{a}-{b}" for a, b in ALL_MOVES])
def test_a_move_outside_the_table_changes_nothing(ada: User, source: State, target: State) -> None:
    export = export_in(source, ada)
    allowed = target in MOVES[source]
    assert Export.objects.filter(pk=export.pk).move(target, **facts_of(target)) == allowed
    export.refresh_from_db()
    assert export.state == (target if allowed else source)


def test_the_documented_diagram_matches_the_table() -> None:
    page = Path(BASE_DIR, "docs", "states.md").read_text()
    assert f"```mermaid\n{diagram()}\n```" in page, "run `manage.py state_diagram` and put it into docs/states.md"


def test_the_documented_states_are_those_of_the_code() -> None:
    states, parts = Path(BASE_DIR, "docs", "states.md").read_text().split("## States of a part")
    assert re.findall(r"^\| (\w+) \| [A-Z]", states, re.MULTILINE) == State.values
    assert [state for state in PartState.values if state not in parts] == []
