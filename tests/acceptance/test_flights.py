"""Exports of third-party data: every flight from New York City in 2013, with one user per carrier."""

from __future__ import annotations

import pytest

from tests.flights import compare, source
from tests.support.stack import Stack

UNITED = "UA"
PASSWORD = "united"


@pytest.fixture(scope="module")
def united(shared_stack: Stack) -> source.Totals:
    """Load United's flights into the site's database. Return totals computed independently from the source."""
    shared_stack.shell(
        "from tests.flights import source; from django.contrib.auth.models import User; "
        f"source.load(['{UNITED}', 'HA']); "
        f"u = User.objects.get(username='{UNITED}'); u.set_password('{PASSWORD}'); u.save()"
    )
    return source.totals(source.read(UNITED))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_an_exported_year_matches_the_source(shared_stack: Stack, united: source.Totals, kind: str) -> None:
    person = shared_stack.signed_in(UNITED, PASSWORD)
    export = person.export(
        dataset="flights", format=kind, period="custom", date_from="2013-01-01", date_to="2013-12-31"
    )
    seen = person.await_end(export)
    assert seen["state"] == "ready", seen["error"]
    assert seen["rows_total"] == united.rows == 58_665
    assert compare.totals_of(person.download(export), kind) == united
