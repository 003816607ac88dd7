"""The same rows give the same file, however they are split into parts. The split depends on the machine's speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from io import BytesIO
from typing import Any, ClassVar
from zipfile import ZipFile, is_zipfile

import pytest
from django.contrib.auth.models import AbstractBaseUser, User
from django.db.models import F, QuerySet

from exports.datasets import Column, ColumnType, Dataset, KeyRange, Selection
from exports.datasets.key_ranges import SAMPLE, SAMPLED_RANGES, sample_ranges
from exports.formats import OpenPart, writer, writers
from exports.models.period import Period
from tests.support import pdf
from tests.support.formats import HARD_TEXTS, context
from tests.work.models import Specimen

ROWS = 420
SIZES = (210, 140, 60, 37, 83)
"""Rows per part: they give 2, 3, 7, 12 and 6 parts."""
TOO_LONG = "a text that no cell of a workbook holds " * 900


class Specimens(Dataset):
    """Columns of all types."""

    key = "test-specimens"
    label = "Specimens"
    date_field = None
    columns: ClassVar[Sequence[Column]] = (
        Column("text", "Text"),
        Column("whole", "Whole", ColumnType.INTEGER, total=True),
        Column("paid", "Paid", ColumnType.MONEY, source="number", currency=F("name"), total=True),
        Column("day", "Day", ColumnType.DATE),
        Column("moment", "Moment", ColumnType.DATETIME),
        Column("ratio", "Ratio", ColumnType.FLOAT, total=True),
        Column("length", "Length", ColumnType.DURATION),
        Column("opens", "Opens", ColumnType.TIME),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Any]:
        return Specimen.objects.all()


def collect() -> None:
    """Create rows that get wider towards the end. In each part, other letters, currencies and long texts come first."""
    noon = datetime(2024, 7, 1, 12, tzinfo=UTC)
    hard = [text.replace("\0", "").encode(errors="ignore").decode() for text in HARD_TEXTS.values()]
    specimens = []
    for place in range(ROWS):
        text: str | None = f"row {place} " + "of many " * (place // 60)
        if place % 9 == 4:
            text = hard[place // 9 % len(hard)]
        elif place % 10 == 5:
            text = "".join(chr(0xE000 + (7 * place + more) % 600) for more in range(20))  # not in any font
        elif place % 30 == 6:
            text = "\u05e9 (\u05d1)" if place < 200 else "e\u0301\u0332 (x)"  # one glyph for two characters
        elif place in (50, 51, 400):
            text = TOO_LONG + str(place)
        specimens.append(
            Specimen(
                pk=(place + 1) * 3 + place // 100 * 5_000,
                name=("EUR", "JPY", "USDC", "XBT", "ABCD")[(place // 50) % 5],
                text=text,
                whole=None if place % 11 == 0 else (-7) ** (place % 20),
                number=Decimal(17**place % 10**9) / 100,
                day=date(2024, 1, 1) + timedelta(place),
                moment=noon + timedelta(minutes=place),
                ratio=(1e300 * (-1) ** (place // 105), 1e-9, 0.1, 1 / 3, float(place))[place % 5],
                length=timedelta(seconds=place * 1_000),
                opens=time(place % 24, 5),
                made_at=noon,
            )
        )
    Specimen.objects.bulk_create(specimens)


class File:
    """A file whose rows are split into parts of `size` keys, planned and written as in workers."""

    def __init__(self, key: str, size: int | None, dataset: Dataset | None = None, user: User | None = None) -> None:
        dataset, kind, user, everything = dataset or Specimens(), writer(key), user or User(), Period()
        columns = dataset.choose([])
        self.ranges = dataset.key_ranges(Selection(user, everything), size)
        sample = dataset.sample(Selection(user, everything), columns, self.ranges)
        where = replace(context(columns), beside=self._beside)
        where = replace(where, layout=kind.prepare(sample, where))
        self.files: dict[str, BytesIO] = {}
        parts, before = [], 0
        for index, keys in enumerate(self.ranges):
            body = BytesIO()
            source = dataset.source(Selection(user, everything), columns, keys)
            written = kind.write(source, body, replace(where, index=index, before=before))
            parts.append(OpenPart(BytesIO(body.getvalue()), written.rows, written.meta))
            before += keys.rows
        out = BytesIO()
        kind.assemble(iter(parts), out, replace(where, rows=before))
        self.data = out.getvalue()

    def _beside(self, name: str) -> BytesIO:
        return self.files.setdefault(name, BytesIO())

    @cached_property
    def content(self) -> dict[str, bytes]:
        """The content of the file by name, unpacked if it is a ZIP archive, and of its side files."""
        found = {"": self.data}
        if is_zipfile(BytesIO(self.data)):
            with ZipFile(BytesIO(self.data)) as archive:
                found = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        return found | {name: file.getvalue() for name, file in self.files.items()}


@pytest.mark.django_db
@pytest.mark.parametrize("key", [kind.key for kind in writers()])
def test_the_file_does_not_depend_on_parts(key: str) -> None:
    """The bytes are the same in every format, after unpacking if the file is a ZIP archive."""
    collect()
    whole = File(key, None)
    assert len(whole.ranges) == 1
    for size in SIZES:
        cut = File(key, size)
        assert len(cut.ranges) == -(-ROWS // size)
        if key == "pdf":
            assert pdf.differences(whole.data, cut.data) == []
        assert list(cut.content) == list(whole.content)
        assert [name for name in cut.content if cut.content[name] != whole.content[name]] == []


def test_parquet_row_groups_depend_on_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group ends at a number of rows or at a size, whichever comes first."""
    pa = pytest.importorskip("pyarrow")
    from exports.formats import parquet

    monkeypatch.setattr(parquet, "GROUP_ROWS", 40)
    monkeypatch.setattr(parquet, "GROUP_BYTES", 3_000)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 10)
    schema = pa.schema([("text", pa.string()), ("number", pa.int64())])
    rows = [{"text": None if place % 3 else "x" * place, "number": place} for place in range(ROWS)]

    def groups(size: int) -> list[int]:
        cuts = [rows[at : at + size] for at in range(0, ROWS, size)]
        batches = [pa.RecordBatch.from_pylist(cut, schema=schema) for cut in [[], *cuts, []]]
        found = list(parquet._groups(batches))
        assert pa.concat_tables(found).to_pylist() == rows
        return [group.num_rows for group in found if group.num_rows]

    sizes = groups(ROWS)
    assert max(sizes) == 40 > min(sizes[:-1])
    for size in (1, 7, 10, 33, 100):
        assert groups(size) == sizes


@pytest.mark.parametrize("total", [0, 1, SAMPLE - 1, SAMPLE, SAMPLE + 1, 1_000, 12_345])
def test_the_sample_does_not_depend_on_parts(total: int) -> None:
    def sampled(size: int) -> tuple[list[int], int]:
        passed = 0

        def keys_within(keys: KeyRange, skip: int, count: int) -> list[int]:
            nonlocal passed
            passed += skip + count
            return list(range(keys.first, keys.last + 1))[skip : skip + count]

        cuts = range(0, total, size)
        ranges = [KeyRange(at, min(at + size, total) - 1, min(size, total - at)) for at in cuts]
        found = sample_ranges(ranges, keys_within)
        return [key for keys in found for key in range(keys.first, keys.last + 1)], passed

    whole, _ = sampled(max(total, 1))
    assert len(whole) == len(set(whole)) == min(total, SAMPLE)
    assert max(whole, default=0) >= total * (SAMPLED_RANGES - 1) // SAMPLED_RANGES if total > SAMPLE else True
    for size in (1, 2, 7, 19, 20, 500, 6_000):
        keys, passed = sampled(size)
        assert keys == whole
        assert passed <= total + SAMPLE
