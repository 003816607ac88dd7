"""The published flights, loaded into the database and read back."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO, StringIO
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from django.contrib.auth.models import User

from exports.datasets import Selection, datasets
from exports.demo.people import time_zone
from exports.models.period import Period
from tests.flights import compare, source
from tests.flights.models import Flight

NAMES = [field.name for field in Flight._meta.fields if field.name != "id"]
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def hawaiian() -> list[source.Line]:
    return list(source.read("HA"))


def test_the_archive_is_fetched_once() -> None:
    before = source.archive().stat().st_mtime_ns
    assert source.archive().stat().st_mtime_ns == before


def test_the_totals_of_united_are_as_published() -> None:
    assert source.totals(source.read("UA")) == source.Totals(
        rows=58_665,
        distance=89_705_524,
        air_time=12_237_728,
        missing={
            "dep_time": 686, "dep_delay": 686, "arr_time": 749, "arr_delay": 883, "air_time": 883, "tailnum": 686,
        },
    )  # fmt: skip


def test_the_model_has_the_columns_of_the_file(hawaiian: list[source.Line]) -> None:
    assert list(hawaiian[0]) == NAMES == [column.name for column in datasets.get("flights").columns]


def test_the_hour_is_the_scheduled_one_in_new_york(hawaiian: list[source.Line]) -> None:
    for line in hawaiian:
        local = datetime.fromisoformat(str(line["time_hour"])).astimezone(NEW_YORK)
        scheduled = [int(line[part] or 0) for part in ("year", "month", "day", "hour")]
        assert [local.year, local.month, local.day, local.hour] == scheduled


@pytest.mark.django_db
def test_loaded_flights_equal_the_source(hawaiian: list[source.Line]) -> None:
    source.load(["HA", "OO"])
    user = User.objects.get(username="HA")
    dataset, period = (
        datasets.get("flights"),
        Period(datetime(2013, 1, 1, tzinfo=NEW_YORK), datetime(2014, 1, 1, tzinfo=NEW_YORK)),
    )
    assert user.check_password(source.PASSWORD)
    assert time_zone(user) == "America/New_York"
    ranges = dataset.key_ranges(Selection(user, period), 100)
    rows = [row for keys in ranges for row in dataset.source(Selection(user, period), dataset.choose([]), keys)]
    assert source.totals(dict(zip(NAMES, row, strict=True)) for row in rows) == source.totals(hawaiian)
    assert [row[:-1] for row in rows] == [tuple(source.row_of(line))[:-1] for line in hawaiian]
    source.load(["HA"])
    assert Flight.objects.count() == len(hawaiian) + 32


def _written(lines: list[source.Line], kind: str) -> Iterator[bytes]:
    if kind == "csv":
        out = StringIO(newline="")
        csv.writer(out).writerows(
            [NAMES, *(["" if value is None else value for value in line.values()] for line in lines)]
        )
        yield out.getvalue().encode("utf-8-sig")
    elif kind == "jsonl":
        yield "".join(json.dumps(line) + "\n" for line in lines).encode()
    else:
        book, target = openpyxl.Workbook(), BytesIO()
        sheet: Any = book.active
        for cells in [NAMES, *([*source.row_of(line)[:-1], line["time_hour"]] for line in lines)]:
            sheet.append(cells)
        book.save(target)
        yield target.getvalue()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "xlsx"])
def test_files_are_read_back(hawaiian: list[source.Line], kind: str) -> None:
    [content] = _written(hawaiian, kind)
    assert compare.totals_of(content, kind) == source.totals(hawaiian)
    [short] = _written(hawaiian[1:], kind)
    assert compare.totals_of(short, kind) != source.totals(hawaiian)


def test_an_unknown_format_has_no_reader() -> None:
    with pytest.raises(ValueError, match="no reader for pdf"):
        list(compare.rows_of(b"", "pdf"))
