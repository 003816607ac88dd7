"""The rows as Django gives them to anybody who asks sensibly: tuples, one chunk in memory."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from benchmarks.ledger.models import Booking
from benchmarks.ledger.rows import COLUMNS, Booked

HEADINGS = tuple(name.capitalize() for name in COLUMNS)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM {Booking._meta.db_table} WHERE id <= {{rows}} ORDER BY id"


def booked(rows: int) -> Iterator[Booked]:
    """The first `rows` bookings."""
    chosen = Booking.objects.filter(pk__lte=rows).order_by("pk")
    return iter(chosen.values_list(*COLUMNS).iterator(chunk_size=2_000))


def printed(row: Booked) -> tuple[str, ...]:
    """A row as people read it."""
    number, created, *texts, quantity, amount, currency = row
    return (str(number), f"{created:%d/%m/%Y %H:%M}", *texts, str(quantity), f"{amount:,.2f}", currency)


def psql_environment() -> dict[str, str]:
    """Where psql finds the database: libpq's own variables."""
    known = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    return {variable: str(known[name]) for variable, name in names.items()}
