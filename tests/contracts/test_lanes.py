"""The two lanes write the same file: PostgreSQL's formatting equals Python's, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import (
    BooleanField,
    CharField,
    DecimalField,
    DurationField,
    Expression,
    ExpressionWrapper,
    F,
    FloatField,
    IntegerField,
    Q,
    TextChoices,
    UUIDField,
    Value,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Concat, JSONObject, TruncMonth, Upper
from django.utils import timezone
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st

from exports.datasets import Column, ColumnType, KeyRange, Source, copying
from exports.datasets.moments import offsets
from exports.errors import DatabaseAway, DatasetFailed
from tests.support.formats import HARD_TEXTS, context, kind, write_parts
from tests.work.models import Specimen

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no COPY lane"),
]

FORMATS = pytest.mark.parametrize("key", ["csv", "jsonl", "json"])
TEXT, NUMBER = Column("text", "Text"), Column("whole", "Whole", ColumnType.INTEGER)
SPECIAL = [
    r"\.", r"\N", "NULL", "", " ", '"', '""', ",", ";", "\t", "\n", "\r", "\r\n", "'", "'=1", "=1", "+1", "-1", "@a",
    "\t=", "  -1", " \t=1", "＝1", "＋1", "－1", "＠1", " ＝1", "＜1", "é=1", "0", "00042", ":", "@", "A", "z", "~",
    "\x7f", "\u0085", "\u2028", "\u00a0=1", "\ufeff=1", "😀", "100% %s %(a)s", "{0}", "/", "\\", "\x01", "\x1f",
    "\b\f\v",
]  # fmt: skip


def collect(rows: Iterable[dict[str, Any]]) -> None:
    made_at = timezone.now()
    Specimen.objects.bulk_create([Specimen(name="", made_at=made_at, **row) for row in rows])


def source_of(columns: Sequence[Column]) -> Source:
    rows = Specimen.objects.order_by("pk")
    keys = [*rows.values_list("pk", flat=True)]
    return Source(rows, columns, KeyRange(keys[0], keys[-1], len(keys)))


def by_database(key: str, columns: Sequence[Column], **where: Any) -> bytes:
    source, out = source_of(columns), BytesIO()
    assert source.copying() is not None, "the Python lane would be used for this source"
    written = kind(key).write(source, out, context(columns, **where))
    assert written.rows == source.read
    return out.getvalue()


def by_python(key: str, columns: Sequence[Column], **where: Any) -> bytes:
    out = BytesIO()
    kind(key).write(iter([*source_of(columns)]), out, context(columns, **where))
    return out.getvalue()


def check(key: str, columns: Sequence[Column], **where: Any) -> None:
    one, other = by_database(key, columns, **where), by_python(key, columns, **where)
    assert one.splitlines(keepends=True) == other.splitlines(keepends=True)
    assert one.count(b"\n") >= Specimen.objects.count() - 1


# --- values ---------------------------------------------------------------------------------------------------------


DIALECTS: list[dict[str, str]] = [
    {}, {"delimiter": "semicolon"}, {"delimiter": "tab"}, {"for": "excel"}, {"for": "excel-europe"},
    {"for": "programs"}, {"for": "programs", "delimiter": "tab"}, {"for": "excel-europe", "delimiter": "comma"},
    {"excel": "yes"},
]  # fmt: skip


@FORMATS
@pytest.mark.parametrize("options", DIALECTS, ids=str)
def test_hard_texts(key: str, options: dict[str, str]) -> None:
    texts = [text.replace("\0", "").encode(errors="ignore").decode() for text in (*HARD_TEXTS.values(), *SPECIAL)]
    collect({"text": text, "whole": place} for place, text in enumerate([*texts, None]))
    check(key, [TEXT, NUMBER], options=options)
    check(key, [NUMBER, TEXT, TEXT, Column("100% \"ä'", "A", source=Upper("text"))], options=options)


@pytest.mark.parametrize("key", ["jsonl", "json"])
def test_one_column_of_json(key: str) -> None:
    collect({"text": text} for text in [*SPECIAL, None])
    check(key, [TEXT])


def test_csv_with_one_column_uses_the_python_lane() -> None:
    """An empty line would not be a row, and COPY handles this case differently."""
    collect({"text": text} for text in [r"\.", "", None, "a"])
    out = BytesIO()
    kind("csv").write(source_of([TEXT]), out, context([TEXT]))
    assert out.getvalue() == by_python("csv", [TEXT]) == b'\\.\r\n""\r\n""\r\na\r\n'


STORED = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@given(st.lists(st.none() | st.text(STORED) | st.text(" =-\"',;\r\n\t\\.A0＝", max_size=4), min_size=1))
@settings(max_examples=60)
def test_any_text(texts: list[str | None]) -> None:
    Specimen.objects.all().delete()
    collect({"text": text} for text in texts)
    for key in ("csv", "jsonl", "json"):
        check(key, [TEXT, NUMBER, TEXT])


@given(st.lists(st.text(',;\t\n\r"\\ =a＝-(', max_size=8), min_size=1), st.sampled_from(DIALECTS))
@settings(max_examples=150)
def test_any_separators_and_formulas_in_texts(texts: list[str], options: dict[str, str]) -> None:
    Specimen.objects.all().delete()
    collect({"text": text, "whole": -1} for text in texts)
    check("csv", [NUMBER, TEXT, Column("open", "Open", ColumnType.CHOICE, "text"), NUMBER], options=options)


def test_a_long_text_with_a_formula_inside() -> None:
    collect({"text": f"{'long, ' * 40_000};=1;{'=2, ' * 40_000}"} for _ in range(3))
    check("csv", [TEXT, NUMBER])


@pytest.mark.parametrize("options", DIALECTS, ids=str)
def test_numbers_and_moments_of_each_dialect(options: dict[str, str]) -> None:
    moments = [datetime(2024, 7, 1, 12, 0, 59, 999_999, tzinfo=UTC), datetime(2024, 10, 27, 0, 30, tzinfo=UTC)]
    moments += [datetime(1, 1, 1, tzinfo=UTC), datetime(1880, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    collect({"moment": moment, "number": Decimal("-12.50"), "day": moment.date(), "text": "1.5"} for moment in moments)
    collect([{}])
    columns = [TEXT, MOMENT, Column("number", "Number", ColumnType.DECIMAL), Column("day", "Day", ColumnType.DATE)]
    priced = Column("net", "Net", ColumnType.MONEY, "number", currency="EUR")
    for zone in ("Europe/Berlin", "America/New_York"):
        check("csv", [*columns, priced], options=options, zone=ZoneInfo(zone))


NUMBERS = [
    "0", "-0", "0.00", "-0.00", "12.50", "-12.50", "1e40", "-1e-40", "1E+3", "0e-8", "NaN", "Infinity", "-Infinity",
    "99999999999999999999999999999999999999.9999999999", ".1", "1000", "-5",
]  # fmt: skip


def sql(expression: str, field: Any) -> Expression:
    return RawSQL(expression, (), output_field=field)


@FORMATS
def test_numbers(key: str) -> None:
    collect({"text": text, "number": Decimal("-1.50")} for text in [*NUMBERS, None])
    number = sql("text::numeric", DecimalField())
    check(key, [Column("number", "Number", ColumnType.DECIMAL), Column("any", "Any", ColumnType.DECIMAL, number)])
    check(key, [Column("a", "A", source=number), Column("b", "B", ColumnType.DECIMAL, "whole")])


@FORMATS
def test_integers_and_booleans(key: str) -> None:
    collect({"whole": whole, "truth": truth} for whole in (0, -5, 2**63 - 1, -(2**63), None) for truth in (True, False))
    collect([{}])
    truth = Column("truth", "Truth", ColumnType.BOOLEAN)
    tested = Column("tested", "Tested", ColumnType.BOOLEAN, ExpressionWrapper(Q(whole__gt=0), BooleanField()))
    check(key, [NUMBER, truth, tested, Column("text", "Text", source="whole"), Column("none", "None", ColumnType.NULL)])


@FORMATS
def test_days(key: str) -> None:
    days = [date.min, date(1812, 6, 24), date(1899, 12, 31), date(1900, 2, 28), date(2024, 2, 29), date.max, None]
    collect({"day": day} for day in days)
    check(key, [Column("day", "Day", ColumnType.DATE), Column("text", "Text", source="day")])


ZONES = [
    "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC", "Etc/GMT+12", "Etc/GMT-14", "Pacific/Apia",
    "Africa/Monrovia", "Australia/Lord_Howe", "Europe/Dublin", "Africa/Casablanca", "Europe/Amsterdam", "Asia/Manila",
]  # fmt: skip
MOMENT = Column("moment", "Moment", ColumnType.DATETIME)


@pytest.mark.parametrize("zone", ZONES)
def test_moments(zone: str) -> None:
    """Cover moments around each offset change of the zone, the ends of the calendar, and future summers and winters."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    beyond = [datetime(year, month, 5, 12, tzinfo=UTC) for year in (2099, 2100, 2500, 9998) for month in (1, 7)]
    ends = [end for hours in range(16) for end in (first + timedelta(hours=hours), last - timedelta(hours=hours))]
    changes = [moment for moment, _ in offsets(ZoneInfo(zone))[1]]
    tick, second = timedelta(microseconds=1), timedelta(seconds=1)
    around = [moment + step for moment in changes for step in (-second, -tick, 0 * tick, tick)]
    collect({"moment": moment} for moment in [*ends, *beyond, *around, None])
    for key in ("csv", "jsonl", "json"):
        check(key, [MOMENT, NUMBER], zone=ZoneInfo(zone))


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1), st.timezones())
@settings(max_examples=40)
def test_any_moment_in_any_zone(moments: list[datetime], zone: ZoneInfo) -> None:
    Specimen.objects.all().delete()
    collect({"moment": moment} for moment in moments)
    check("csv", [MOMENT, NUMBER], zone=zone)


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        ("0044-03-15 12:00:00+00 BC", "0044-03-15T12:00:00 BC"),
        ("10000-01-01 00:00:00+00", "10000-01-01T00:00:00"),
    ],
)
def test_moments_outside_the_range_of_python(stored: str, text: str) -> None:
    collect([{}])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE work_specimen SET moment = %s", [stored])
    assert by_database("csv", [MOMENT, NUMBER]).decode() == f"{text},\r\n"
    assert by_database("csv", [MOMENT, NUMBER], options={"for": "excel"}).decode()[:8] == text.replace("T", " ")[:8]
    with pytest.raises(DatasetFailed):
        by_python("csv", [MOMENT, NUMBER])


class Mood(TextChoices):
    GOOD = "good", gettext_lazy("Yes")
    BAD = "bad", "=bad, \"really\" 'bad'"
    ODD = "=odd", "Odd 100%"
    NONE = "none", ""


@FORMATS
def test_choices(key: str) -> None:
    collect(
        {"text": mood, "whole": n, "truth": n % 2 == 0} for n, mood in enumerate([*Mood.values, "=new", "", "GOOD"])
    )
    collect([{}])
    numbered = [(0, "None at all"), (1, "=One"), (2**70, "Many"), ("3", "No number")]
    truths = [(True, "Yes"), (False, "No")]
    check(
        key,
        [
            Column("mood", "Mood", ColumnType.CHOICE, "text", choices=Mood),
            Column("number", "Number", ColumnType.CHOICE, "whole", choices=numbered),
            Column("truth", "Truth", ColumnType.CHOICE, choices=truths),
            Column("open", "Open", ColumnType.CHOICE, "text"),
            Column("as text", "As text", ColumnType.CHOICE, "number"),
            Column("words of text", "Words", ColumnType.CHOICE, "whole", choices={"0": "None", "1": "One"}),
        ],
    )


@pytest.mark.parametrize("options", DIALECTS, ids=str)
def test_choices_of_numbers_and_days(options: dict[str, str]) -> None:
    """Values with a label are written as the label, others as in a column of their own type."""
    day = date(2024, 2, 29)
    collect({"number": Decimal(number), "day": day} for number in ("1.50", "2.25"))
    collect([{}])
    rated = Column("rate", "Rate", ColumnType.CHOICE, "number", choices=[(Decimal("1.5"), "a;=Half more")])
    dated = Column("dated", "Dated", ColumnType.CHOICE, "day", choices=[(day, "Leap; -day (29)")])
    columns, where = [NUMBER, rated, dated], {"options": options}
    out = BytesIO()
    assert kind("csv").write(source_of(columns), out, context(columns, **where)).rows == 3
    assert out.getvalue() == by_python("csv", columns, **where)
    assert b"Half more" in out.getvalue()


@FORMATS
def test_money(key: str) -> None:
    collect({"number": Decimal("-12.5"), "text": "EUR"} for _ in range(3))
    collect([{}])
    check(
        key,
        [
            Column("net", "Net", ColumnType.MONEY, "number", currency="=E%R"),
            Column("gross", "Gross", ColumnType.MONEY, F("number") * 2, currency=F("text")),
        ],
    )


@FORMATS
def test_other_types(key: str) -> None:
    collect([{"text": "ß"}, {}])
    unique = sql("md5(text)::uuid", UUIDField())
    raw = sql("convert_to(text, 'UTF8')", CharField())
    check(key, [Column("uuid", "UUID", source=unique), Column("raw", "Raw", source=raw)])


# --- left to the Python lane ----------------------------------------------------------------------------------------

LEFT: dict[str, tuple[Any, ColumnType]] = {
    "float": (Cast("whole", FloatField()), ColumnType.DECIMAL),
    "float in disguise": (ExpressionWrapper(F("whole"), FloatField()), ColumnType.DECIMAL),
    "decimal in disguise": (ExpressionWrapper(F("number"), IntegerField()), ColumnType.INTEGER),
    "JSON": (JSONObject(a="whole"), ColumnType.TEXT),
    "duration": (ExpressionWrapper(F("moment") - F("made_at"), DurationField()), ColumnType.TEXT),
    "month": (TruncMonth("moment"), ColumnType.DATETIME),
    "blanks": (sql("text::char(9)", CharField()), ColumnType.TEXT),
    "array": (sql("ARRAY[whole]", CharField()), ColumnType.TEXT),
    "number for a truth": (F("whole"), ColumnType.BOOLEAN),
    "moment for a text": (F("moment"), ColumnType.TEXT),
    "decimal for a whole number": (Cast("whole", DecimalField(max_digits=9, decimal_places=2)), ColumnType.INTEGER),
    "whole number for a float": (F("whole"), ColumnType.FLOAT),
}


@pytest.mark.parametrize(("expression", "kind_of"), LEFT.values(), ids=LEFT)
def test_expressions_that_python_writes_differently_use_the_python_lane(expression: Any, kind_of: ColumnType) -> None:
    collect([{"whole": 1, "number": Decimal("12.5"), "text": "a", "moment": timezone.now()}])
    columns = [NUMBER, Column("a", "A", kind_of, expression)]
    assert source_of(columns).copying() is None
    whole = write_parts(kind("csv"), [source_of(columns)], context(columns))
    assert whole.endswith(by_python("csv", columns))


def test_labels_of_decimals_and_days_use_the_python_lane() -> None:
    """PostgreSQL writes 1.50, which does not match the choice 1.5."""
    collect([{"number": Decimal("1.50"), "day": date(2024, 2, 29)}])
    rate = Column("rate", "Rate", ColumnType.CHOICE, "number", choices=[(Decimal("1.5"), "Half more")])
    day = Column("day", "Day", ColumnType.CHOICE, choices=[(date(2024, 2, 29), "Leap day")])
    assert [source_of([NUMBER, column]).copying() for column in (rate, day)] == [None, None]


def test_functions_use_the_python_lane() -> None:
    collect([{"whole": 1}])
    columns = [NUMBER, Column("a", "A", function=lambda specimen: f"={specimen.whole}")]
    assert source_of(columns).copying() is None
    assert by_python("csv", columns) == b"1,'=1\r\n"


def test_sources_without_rows_use_the_python_lane() -> None:
    assert Source(Specimen.objects.none(), [TEXT], KeyRange(1, 2, 0)).copying() is None


# --- sessions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "TimeZone = 'America/New_York'", "extra_float_digits = -15", "bytea_output = 'escape'", "xmloption = content",
        "IntervalStyle = 'sql_standard'", "DateStyle = 'ISO, DMY'", "standard_conforming_strings = off",
    ],
)  # fmt: skip
def test_settings_of_the_session_change_nothing(setting: str) -> None:
    moment = datetime(2024, 7, 1, 12, 0, 0, 500, tzinfo=UTC)
    collect([{"text": "\\ 'ß'", "number": Decimal("0.1"), "day": date(2024, 2, 1), "moment": moment, "truth": True}])
    raw = Column("raw", "Raw", source=sql("convert_to(text, 'UTF8')", CharField()))
    columns = [TEXT, raw, Column("day", "Day"), MOMENT, Column("number", "N"), Column("truth", "T")]
    usual = [by_python(key, columns) for key in ("csv", "jsonl")]
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {setting}")
    assert [by_database(key, columns) for key in ("csv", "jsonl")] == usual


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres"])
def test_other_date_styles_use_the_python_lane(style: str) -> None:
    collect([{"day": date(2024, 2, 1)}])
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL DateStyle = '{style}'")
    assert source_of([Column("day", "Day")]).copying() is None


def test_filters_with_parameters() -> None:
    collect({"text": text} for text in ["100% 'sure'", "%s", "sure"])
    rows = Specimen.objects.filter(text__contains="% 'su").annotate(more=Concat("name", Value("%s%%")))
    pk = rows.get().pk
    columns = [TEXT, Column("more", "More")]
    out = BytesIO()
    source = Source(rows, columns, KeyRange(pk - 1, pk + 1, 1))
    assert source.copying() is not None
    kind("csv").write(source, out, context(columns))
    assert out.getvalue() == b"100% 'sure',%s%%\r\n"


# --- interrupted reading --------------------------------------------------------------------------------------------

MANY = 5_000


@contextmanager
def still_usable() -> Iterator[None]:
    """Assert that the connection still works afterwards."""
    yield
    assert Specimen.objects.count() == MANY


@pytest.fixture(params=["in a transaction", "on its own"])
def many(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("db" if request.param == "in a transaction" else "transactional_db")
    collect({"whole": MANY - place, "text": "a long one" * 50} for place in range(MANY))


def copying_of(columns: Sequence[Column]) -> copying.Copying:
    found = source_of(columns).copying()
    assert found is not None
    return found


@pytest.mark.usefixtures("many")
def test_an_interrupted_loop_leaves_the_connection_usable() -> None:
    with still_usable():
        for lines in copying_of([TEXT, NUMBER]).run("r.c1"):
            assert bytes(lines[0]) == b"5000\n"
            break
        del lines
    with still_usable(), pytest.raises(RuntimeError, match="full"):
        for _ in copying_of([TEXT, NUMBER]).texts("r.c1::text"):
            raise RuntimeError("full")


@pytest.mark.usefixtures("many")
def test_closing_a_source_leaves_the_connection_usable() -> None:
    """This also holds while a reference to the iterator remains, such as in the frames of an exception."""
    source = source_of([TEXT, NUMBER])
    found = source.copying()
    assert found is not None
    lists = found.texts("r.c1::text")
    next(lists)
    with still_usable():
        source.close()
    assert list(lists) == []


@pytest.mark.usefixtures("many")
def test_an_error_while_reading_is_a_dataset_error() -> None:
    broken = Column("inverse", "Inverse", ColumnType.INTEGER, Value(1) / (F("whole") - 2))
    with still_usable(), pytest.raises(DatasetFailed):
        by_database("csv", [TEXT, broken])


@pytest.mark.django_db(transaction=True)
def test_a_broken_connection_is_a_database_error() -> None:
    collect({"whole": place, "text": "a long one" * 50} for place in range(MANY))
    lists = copying_of([TEXT, NUMBER]).run("r.c0")
    next(lists)
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        # Behind a pooler, the client cannot tell which server process runs its query.
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY (%'")
    with pytest.raises(DatabaseAway):
        list(lists)
    connection.close()


def test_rows_are_counted_after_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PIECE", 10)
    collect({"text": f"{place}"} for place in range(40))
    source = source_of([TEXT, NUMBER])
    counts: list[tuple[int, int]] = []
    source.each = lambda count: counts.append((count, Specimen.objects.count()))
    out = BytesIO()
    kind("jsonl").write(source, out, context([TEXT, NUMBER]))
    assert counts == [(10, 40), (20, 40), (30, 40), (40, 40)]
    assert out.getvalue() == by_python("jsonl", [TEXT, NUMBER])
    assert by_database("json", [TEXT, NUMBER]) == by_python("json", [TEXT, NUMBER])


def test_keys_with_gaps_and_keys_that_are_not_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PIECE", 10)
    collect({"text": f"{place}"} for place in range(100))
    first = Specimen.objects.earliest("pk").pk
    Specimen.objects.filter(pk__gt=first + 20, pk__lt=first + 90).delete()
    assert by_database("csv", [TEXT, NUMBER]) == by_python("csv", [TEXT, NUMBER])
    out, middle = BytesIO(), KeyRange(first + 2, first + 92, 24)
    kind("csv").write(Source(Specimen.objects.order_by("pk"), [TEXT, NUMBER], middle), out, context([TEXT, NUMBER]))
    assert [int(line[:-1]) for line in out.getvalue().split()] == [*range(2, 21), *range(90, 93)]
    for place in range(30):
        Session.objects.create(session_key=f"{place:02}", session_data="a", expire_date=timezone.now())
    columns = [Column("session_key", "Key"), Column("session_data", "Data")]
    sessions, out = Source(Session.objects.order_by("pk"), columns, KeyRange("05", "24", 20)), BytesIO()
    kind("csv").write(sessions, out, context(columns))
    assert out.getvalue().decode() == "".join(f"{place:02},a\r\n" for place in range(5, 25))
    assert sessions.read == 20
