"""Rows for the peers, read with Django: tuples, with one chunk in memory."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from benchmarks.ledger.models import Booking
from benchmarks.ledger.rows import COLUMNS, Booked

HEADINGS = tuple(name.capitalize() for name in COLUMNS)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM {Booking._meta.db_table} WHERE id <= {{rows}} ORDER BY id"


def booked(rows: int) -> Iterator[Booked]:
    """Iterate over the first `rows` bookings."""
    bookings = Booking.objects.filter(pk__lte=rows).order_by("pk")
    return iter(bookings.values_list(*COLUMNS).iterator(chunk_size=2_000))


def printed(row: Booked) -> tuple[str, ...]:
    """Format a row for people."""
    number, created, *texts, quantity, amount, currency = row
    return (str(number), f"{created:%d/%m/%Y %H:%M}", *texts, str(quantity), f"{amount:,.2f}", currency)


def psql_environment() -> dict[str, str]:
    """Return libpq's environment variables for the database."""
    parameters = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    return {variable: str(parameters[name]) for variable, name in names.items()}
