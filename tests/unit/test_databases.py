"""Transactions of our own: their timeouts, and the connections that they use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections, transaction

from durable.databases import BOUNDS, atomic, close_broken, connection_of
from tests.work.models import Errand

pytestmark = pytest.mark.django_db(transaction=True)


def bounds() -> dict[str, str]:
    with connection_of(Errand).cursor() as cursor:
        cursor.execute("SELECT current_setting(%s), current_setting(%s)", list(BOUNDS))
        return dict(zip(BOUNDS, cursor.fetchone(), strict=True))


@pytest.fixture
def unbounded() -> Iterator[None]:
    """A connection of a site that sets no timeouts of its own."""
    connection = connection_of(Errand)
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no such timeouts")
    with connection.cursor() as cursor:
        for name in BOUNDS:
            cursor.execute(f"SET {name} = 0")
    yield
    connection.close()


@pytest.mark.usefixtures("unbounded")
def test_a_transaction_of_ours_has_bounds_and_leaves_none() -> None:
    none = dict.fromkeys(BOUNDS, "0")
    assert bounds() == none
    with atomic(Errand):
        assert bounds() == BOUNDS
    assert bounds() == none


@pytest.mark.usefixtures("unbounded")
def test_a_transaction_of_the_site_keeps_its_own_bounds() -> None:
    connection = connection_of(Errand)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '9s'")
        with atomic(Errand):
            assert bounds() == {"lock_timeout": "9s", "idle_in_transaction_session_timeout": "0"}


@pytest.mark.usefixtures("unbounded")
def test_bounds_of_the_site_take_precedence() -> None:
    with connection_of(Errand).cursor() as cursor:
        cursor.execute("SET lock_timeout = '9s'")
    with atomic(Errand):
        assert bounds() == BOUNDS | {"lock_timeout": "9s"}


def test_only_connections_with_errors_are_closed() -> None:
    connection = connections["default"]
    connection.ensure_connection()
    close_broken()
    assert connection.connection is not None
    connection.errors_occurred = True
    close_broken()
    assert connection.connection is None
