"""Datasets of resources, serializers and querysets: the same values, with types, and only the rows of the owner."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, cast
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import Avg, Count, F, Prefetch, QuerySet, Sum
from django.db.models.functions import ExtractYear, TruncMonth
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext_lazy
from import_export import fields, resources, widgets
from rest_framework import serializers

from exports import checks
from exports.adapters import dataset_from_queryset, dataset_from_resource, dataset_from_serializer
from exports.datasets import EVERYBODY, Column, ColumnType, Dataset, Nested, Selection, Text, datasets
from exports.demo.models import Customer, Order, Status
from exports.errors import DatasetFailed
from exports.states import State
from exports.testing import assert_private, export_rows
from tests.market.models import Basket, Line, Tag
from tests.support.baskets import baskets
from tests.support.exports import registered, run
from tests.support.shop import orders
from tests.support.specimens import tables
from tests.work.models import Dossier, Specimen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
FORMATS = ("csv", "json", "xlsx")
ALL_BASKETS = Basket.objects.select_related("owner").prefetch_related("lines", "tags")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def faults_of(kind: type[Dataset]) -> list[str]:
    """Return what manage.py check finds in a dataset."""
    with registered(kind):
        return [str(found.msg) for found in checks.check_datasets() if found.obj is kind]


def types_of(kind: type[Dataset]) -> dict[str, ColumnType]:
    return {column.name: column.type for column in kind().columns}


def labels_of(kind: type[Dataset]) -> list[str]:
    return [str(column.label) for column in kind().columns]


def is_computed(kind: type[Dataset]) -> dict[str, bool]:
    return {column.name: column.function is not None for column in kind().columns}


def files(user: User, kind: type[Dataset], key: str) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a real export in a format, which manage.py check finds nothing in."""
    assert faults_of(kind) == []
    with registered(kind):
        export = run(user, key, dataset=kind.key)
    assert export.state == State.READY, export.error_detail
    return tables(export)


def rows_of(user: User, kind: type[Dataset], key: str = "jsonl") -> list[dict[str, Any]]:
    [rows] = files(user, kind, key).values()
    return rows


def texts(rows: Sequence[dict[str, Any]], *names: str) -> list[tuple[str, ...]]:
    """Return the values of these columns as the texts of their numbers and words."""
    return [tuple(str(row[name] if row[name] is not None else "") for name in names) for row in rows]


def queries_of(kind: type[Dataset], user: User) -> int:
    """Return the number of queries that read all rows of one part."""
    dataset, selection = kind(), Selection(user)
    [keys] = dataset.key_ranges(selection, None)
    with CaptureQueriesContext(connection) as queries:
        assert len(list(dataset.source(selection, dataset.choose([]), keys))) > 2
    return len(queries)


@pytest.fixture
def shop(ada: User, bob: User) -> None:
    for user in (ada, bob):
        Customer.objects.create(user=user, company=f"{user} & Söhne", country="DE", time_zone="UTC")
        orders(user, 4, NOON)
    Order.objects.filter(number="000001").update(status=Status.CANCELLED, note="late")


@pytest.fixture
def market(ada: User, bob: User) -> None:
    baskets(ada, bob)


# --- resources of django-import-export ------------------------------------------------------------------------------


class Shout(widgets.CharWidget):  # type: ignore[misc]  # no stubs
    def render(self, value: Any, obj: Any = None, **kwargs: Any) -> str:
        return f"{value}!"


class ReadsInItsOwnWay(widgets.IntegerWidget):  # type: ignore[misc]
    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> Any:
        return 0


class OrderResource(resources.ModelResource):  # type: ignore[misc]
    number = fields.Field(attribute="number", column_name="Order no.")
    company = fields.Field(attribute="owner__customer__company", column_name=gettext_lazy("Company"))
    buyer = fields.Field(attribute="buyer", widget=Shout())
    day = fields.Field(attribute="placed_at", widget=widgets.DateTimeWidget(format="%d.%m.%Y"))
    quantity = fields.Field(attribute="quantity", widget=ReadsInItsOwnWay())
    shipping = fields.Field(column_name="Ship to")
    gross = fields.Field()
    state = fields.Field(attribute="get_status_display")
    year = fields.Field(attribute="placed_at__year", widget=widgets.IntegerWidget())
    of = fields.Field(attribute="owner", widget=widgets.ForeignKeyWidget(User, "username"))

    class Meta:
        model = Order
        exclude = ("id", "street", "country", "item", "unit_price", "currency", "category")
        export_order = ("number", "status")

    def get_queryset(self) -> QuerySet[Order]:
        return cast("QuerySet[Order]", super().get_queryset().select_related("owner__customer"))

    def dehydrate_shipping(self, order: Order) -> str:
        return f"{order.city}, {order.owner.customer.company}"

    def dehydrate_gross(self, order: Order) -> Decimal | None:
        return order.total * Decimal("1.19") if order.note == "" else None


Orders = dataset_from_resource(
    OrderResource, owner="owner", date_field="placed_at", params=[Text("q", fields=["city"])]
)


def test_columns_of_a_resource_are_those_of_its_export() -> None:
    assert [column.name for column in Orders().columns] == [
        "number", "status", "owner", "placed_at", "buyer", "city", "quantity", "total", "note",
        "company", "day", "shipping", "gross", "state", "year", "of",
    ]  # fmt: skip
    resource = OrderResource()
    assert [each.column_name for each in resource.get_export_fields()] == [column.label for column in Orders().columns]
    assert types_of(Orders) == {
        "number": ColumnType.TEXT,
        "status": ColumnType.CHOICE,
        "owner": ColumnType.INTEGER,
        "placed_at": ColumnType.DATETIME,
        "buyer": ColumnType.TEXT,
        "city": ColumnType.TEXT,
        "quantity": ColumnType.INTEGER,
        "total": ColumnType.DECIMAL,
        "note": ColumnType.TEXT,
        "company": ColumnType.TEXT,
        "day": ColumnType.TEXT,
        "shipping": ColumnType.TEXT,
        "gross": ColumnType.DECIMAL,
        "state": ColumnType.TEXT,
        "year": ColumnType.INTEGER,
        "of": ColumnType.TEXT,
    }
    computed = [name for name, function in is_computed(Orders).items() if function]
    assert computed == ["buyer", "day", "shipping", "gross", "state", "year"]


@pytest.mark.parametrize("key", FORMATS)
def test_a_resource_in_each_format(ada: User, shop: None, key: str) -> None:
    rows = rows_of(ada, Orders, key)
    names = {column.name: column.name if key == "json" else str(column.label) for column in Orders().columns}
    read = texts(rows, *(names[name] for name in ("number", "company", "buyer", "day", "quantity", "of", "year")))
    assert read == [
        (f"00000{place}", "ada & Söhne", "Zoë Łukasik!", "01.03.2026", "2", "ada", "2026") for place in range(4)
    ]
    assert [row[names["shipping"]] for row in rows] == ["Oslo, ada & Söhne"] * 4
    assert [Decimal(str(row[names["gross"]] or 0)) for row in rows] == [Decimal("3.57"), 0, *[Decimal("3.57")] * 2]
    assert rows[1][names["state"]] == "Cancelled"
    assert rows[1][names["status"]] == ("cancelled" if key == "json" else "Cancelled")


def test_the_rows_of_a_resource_are_private(shop: None, ada: User, bob: User) -> None:
    assert_private(Orders, ada, bob)
    assert {row["of"] for row in export_rows(Orders, bob)} == {"bob"}


def test_a_resource_whose_columns_are_all_fields_is_read_without_instances(shop: None, ada: User) -> None:
    class PlainResource(resources.ModelResource):  # type: ignore[misc]
        class Meta:
            model = Order
            fields = ("number", "owner", "owner__customer__company", "placed_at", "total")

    kind = dataset_from_resource(PlainResource, owner="owner")
    assert not any(is_computed(kind).values())
    selection = Selection(ada)
    source = kind().source(selection, kind().choose([]), kind().key_ranges(selection, None)[0])
    assert (source.copying() is not None) == (connection.vendor == "postgresql")
    assert labels_of(kind) == ["number", "owner", "owner__customer__company", "placed_at", "total"]
    assert rows_of(ada, kind)[0] == {
        "number": "000000", "owner": ada.pk, "owner__customer__company": "ada & Söhne",
        "placed_at": "2026-03-01T12:00:00+00:00", "total": Decimal("3.00"),
    }  # fmt: skip


def test_rows_and_filters_of_a_resource_apply(shop: None, ada: User) -> None:
    class LateResource(OrderResource):
        def get_queryset(self) -> QuerySet[Order]:
            return super().get_queryset().annotate(double=F("quantity") * 2)

        def filter_export(self, queryset: QuerySet[Order], **kwargs: Any) -> QuerySet[Order]:
            return queryset.exclude(note="late")

        double = fields.Field(attribute="double")

        class Meta:
            model = Order
            fields = ("number", "double")

    kind = dataset_from_resource(LateResource, owner="owner")
    assert (types_of(kind)["double"], is_computed(kind)["double"]) == (ColumnType.INTEGER, False)
    assert [(row["number"], row["double"]) for row in rows_of(ada, kind)] == [
        ("000000", 4), ("000002", 4), ("000003", 4),
    ]  # fmt: skip
    own = dataset_from_resource(LateResource, queryset=lambda user: Order.objects.filter(owner=user, number="000000"))
    assert "Order has no field 'double'" in faults_of(own)[0], "the annotation is that of get_queryset()"
    given = dataset_from_resource(OrderResource, queryset=Order.objects.filter(note="late"), owner="owner")
    assert [row["number"] for row in export_rows(given, ada)] == ["000001"]


def test_overridden_exports_of_a_resource_are_called(shop: None, ada: User) -> None:
    class FieldResource(OrderResource):
        def export_field(self, field: Any, instance: Order, **kwargs: Any) -> str:
            return f"<{super().export_field(field, instance, **kwargs)}>"

    class RowResource(OrderResource):
        def export_resource(self, instance: Order, selected_fields: Any = None, **kwargs: Any) -> list[Any]:
            return [f"{instance.number}/{place}" for place, _ in enumerate(self.get_export_fields())]

        def get_export_headers(self, selected_fields: Any = None) -> list[str]:
            return [f"# {place}" for place, _ in enumerate(self.get_export_fields())]

    row = export_rows(dataset_from_resource(FieldResource, owner="owner"), ada)[0]
    assert (row["number"], row["total"]) == ("<000000>", "<3.00>")
    kind = dataset_from_resource(RowResource, owner="owner")
    assert labels_of(kind)[:2] == ["# 0", "# 1"]
    assert list(export_rows(kind, ada)[2].values())[:3] == ["000002/0", "000002/1", "000002/2"]


class SpecimenResource(resources.ModelResource):  # type: ignore[misc]
    class Meta:
        model = Specimen


SPECIMEN: dict[str, Any] = {
    "text": "a",
    "whole": 7,
    "number": Decimal("1.5"),
    "truth": False,
    "day": date(2026, 1, 2),
    "moment": NOON,
    "ratio": 0.1,
    "length": timedelta(hours=3),
    "opens": time(8, 30),
}


def test_every_type_of_a_resource(ada: User) -> None:
    Specimen.objects.create(name="full", made_at=NOON, **SPECIMEN)
    Specimen.objects.create(name="empty", made_at=NOON)
    kind = dataset_from_resource(SpecimenResource, owner=EVERYBODY)
    assert not any(is_computed(kind).values())
    full, empty = export_rows(kind, ada)
    assert {name: full[name] for name in SPECIMEN} == SPECIMEN
    assert all(empty[name] is None for name in SPECIMEN)


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way to the fields of specimens that no database can go."""
    monkeypatch.setattr(Specimen, "me", property(lambda self: self), raising=False)


def test_every_type_of_a_resource_that_is_computed(me: None, ada: User) -> None:
    Specimen.objects.create(name="full", made_at=NOON, **SPECIMEN)
    Specimen.objects.create(name="empty", made_at=NOON)
    plain = SpecimenResource().fields
    far = {name: fields.Field(f"me__{name}", widget=plain[name].widget) for name in SPECIMEN if name != "text"}
    kind = dataset_from_resource(type("FarResource", (SpecimenResource,), dict(far)), owner=EVERYBODY)
    assert all(is_computed(kind)[name] for name in far)
    full, empty = export_rows(kind, ada)
    assert {name: full[name] for name in SPECIMEN} == SPECIMEN
    assert all(empty[name] is None for name in SPECIMEN)


def test_types_of_attributes_that_are_no_fields(market: None, ada: User) -> None:
    class BasketResource(resources.ModelResource):  # type: ignore[misc]
        sum = fields.Field(attribute="sum")
        as_text = fields.Field(attribute="sum", widget=widgets.DateWidget())
        owner_name = fields.Field(attribute="owner")
        tags = fields.Field(attribute="tags", widget=widgets.ManyToManyWidget(Group, ";", "name"))
        count = fields.Field(attribute="tags__count", widget=widgets.IntegerWidget())
        nothing = fields.Field()

        class Meta:
            model = Basket
            fields = ("sum", "as_text", "owner_name", "tags", "count", "nothing")

        def get_queryset(self) -> QuerySet[Basket]:
            return ALL_BASKETS.all()

    kind = dataset_from_resource(BasketResource, owner="owner")
    assert set(types_of(kind).values()) == {ColumnType.TEXT, ColumnType.DECIMAL, ColumnType.INTEGER}
    rows = rows_of(ada, kind)
    expected = list(Basket.objects.filter(owner=ada).order_by("pk"))
    assert [row["sum"] for row in rows] == [basket.sum for basket in expected]
    assert {row["as_text"] for row in rows} == {""}, "what the widget makes of a number"
    assert [row["tags"] for row in rows][:4] == ["", "red", "red;blue", "red;blue"]
    assert [row["count"] for row in rows][:4] == [0, 1, 2, 2]
    assert {row["owner_name"] for row in rows} == {"ada"}
    assert {row["nothing"] for row in rows} == {""}
    assert queries_of(kind, ada) == 1 + 2, "one for the rows and one for each prefetch"


def test_secrets_that_nobody_names_are_left_out() -> None:
    class UserResource(resources.ModelResource):  # type: ignore[misc]
        class Meta:
            model = User
            exclude = ("email",)

    class UserSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        class Meta:
            model = User
            exclude = ("email",)

    class DeclaringSerializer(UserSerializer):
        password = serializers.CharField()

    class NamedResource(UserResource):
        class Meta:
            fields = ("password",)

    class NamedSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        class Meta:
            model = User
            fields = ("password",)

    for kind in (dataset_from_resource(UserResource, owner="pk"), dataset_from_serializer(UserSerializer, owner="pk")):
        assert {"username", "first_name"} < set(types_of(kind))
        assert not {"password", "email"} & set(types_of(kind))
    for kind in (
        dataset_from_resource(NamedResource, owner="pk"),
        dataset_from_serializer(NamedSerializer, owner="pk"),
    ):
        assert list(types_of(kind)) == ["password"]
    assert "password" in types_of(dataset_from_serializer(DeclaringSerializer, owner="pk"))


# --- serializers of Django REST framework ---------------------------------------------------------------------------


class LineSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    what = serializers.CharField(source="title")

    class Meta:
        model = Line
        fields = ("what", "quantity", "price", "bought_at")


class BasketSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    lines = LineSerializer(many=True)
    tags = serializers.SlugRelatedField("name", many=True, read_only=True)
    tag_keys = serializers.PrimaryKeyRelatedField(source="tags", many=True, read_only=True)
    email = serializers.URLField(source="owner.email", label="Mail")
    owner_name = serializers.SlugRelatedField("username", source="owner", read_only=True)
    shown = serializers.StringRelatedField(source="owner")
    sum = serializers.ReadOnlyField()
    rounded = serializers.DecimalField(source="sum", max_digits=9, decimal_places=1)
    month = serializers.DateTimeField(source="placed_at", format="%B %Y")
    greeting = serializers.SerializerMethodField()
    facts = serializers.SerializerMethodField()
    count = serializers.SerializerMethodField()
    secret = serializers.CharField(write_only=True)

    class Meta:
        model = Basket
        fields = (
            "id", "number", "placed_at", "owner", "owner_name", "shown", "email", "lines", "tags", "tag_keys", "sum",
            "rounded", "month", "greeting", "facts", "count", "secret",
        )  # fmt: skip

    def get_greeting(self, basket: Basket) -> str:
        return f"{self.context['request'].user} and {basket.number}"

    def get_facts(self, basket: Basket) -> dict[str, Any]:
        return {"day": basket.placed_at.day}

    def get_count(self, basket: Basket) -> int:
        return len(basket.lines.all())


Baskets = dataset_from_serializer(BasketSerializer, queryset=ALL_BASKETS, owner="owner", date_field="placed_at")


def test_columns_of_a_serializer_are_its_readable_fields() -> None:
    assert types_of(Baskets) == {
        "id": ColumnType.INTEGER,
        "number": ColumnType.TEXT,
        "placed_at": ColumnType.DATETIME,
        "owner": ColumnType.INTEGER,
        "owner_name": ColumnType.TEXT,
        "shown": ColumnType.TEXT,
        "email": ColumnType.EMAIL,
        "lines": ColumnType.NESTED,
        "tags": ColumnType.LIST,
        "tag_keys": ColumnType.LIST,
        "sum": ColumnType.DECIMAL,
        "rounded": ColumnType.DECIMAL,
        "month": ColumnType.TEXT,
        "greeting": ColumnType.TEXT,
        "facts": ColumnType.JSON,
        "count": ColumnType.INTEGER,
    }
    assert [name for name, function in is_computed(Baskets).items() if function] == [
        "shown", "tags", "tag_keys", "sum", "rounded", "month", "greeting", "facts", "count",
    ]  # fmt: skip
    serializer = BasketSerializer()
    assert labels_of(Baskets) == [str(field.label) for field in serializer._readable_fields]
    lines = next(column for column in Baskets().choose(["lines"]) if isinstance(column, Nested))
    assert [(column.name, column.type) for column in lines.inner] == [
        ("what", ColumnType.TEXT),
        ("quantity", ColumnType.INTEGER),
        ("price", ColumnType.DECIMAL),
        ("bought_at", ColumnType.DATETIME),
    ]


def test_a_serializer_in_json_has_what_its_api_has(market: None, ada: User) -> None:
    rows = rows_of(ada, Baskets, "json")
    expected = BasketSerializer(
        ALL_BASKETS.filter(owner=ada).order_by("pk"), many=True, context={"request": Request(ada)}
    ).data
    assert len(rows) == len(expected) == 7
    for row, api in zip(rows, json.loads(json.dumps(expected, default=str)), strict=True):
        for name in ("sum", "rounded"):
            row[name], api[name] = Decimal(row[name] or 0), Decimal(str(api[name] or 0))
        for lines in (row["lines"], api["lines"]):
            for line in lines:
                line["price"] = Decimal(line["price"])
                line["bought_at"] = line["bought_at"] and datetime.fromisoformat(line["bought_at"])
            lines.sort(key=lambda line: line["what"])
        row["placed_at"], api["placed_at"] = map(datetime.fromisoformat, (row["placed_at"], api["placed_at"]))
        assert row == api


class Request:
    def __init__(self, user: User) -> None:
        self.user = user


@pytest.mark.parametrize("key", ["csv", "xlsx"])
def test_a_serializer_in_tables(market: None, ada: User, key: str) -> None:
    found = files(ada, Baskets, key)
    assert [name.split("-to-")[0] for name in found] == ["basket/basket", "basket/basket-lines"]
    own, lines = found.values()
    assert [row["Number"] for row in own] == [f"ada-{place}" for place in range(7)]
    assert [json.loads(row["Tags"]) for row in own][:3] == [[], ["red"], ["red", "blue"]]
    assert [Decimal(str(row["Rounded"])) for row in own if row["Rounded"]] == [
        Decimal(round(basket.sum, 1)) for basket in ALL_BASKETS.filter(owner=ada) if basket.sum is not None
    ]
    assert own[0]["Month"] == "January 2026"
    assert own[1]["Greeting"] == "ada and ada-1"
    assert len(lines) == Line.objects.filter(basket__owner=ada).count()
    assert {"What", "Quantity", "Price", "Bought at"} < set(lines[0])


def test_the_rows_of_a_serializer_are_private(market: None, ada: User, bob: User) -> None:
    assert_private(Baskets, ada, bob)
    mine, theirs = (export_rows(Baskets, user) for user in (ada, bob))
    assert {row["greeting"].partition(" ")[0] for row in mine} == {"ada"}
    assert {row["greeting"].partition(" ")[0] for row in theirs} == {"bob"}
    assert not [line for row in mine for line in row["lines"] if "bob" in line[0]]


def test_prefetched_objects_are_read_once_for_a_page(market: None, ada: User) -> None:
    assert queries_of(Baskets, ada) == 1 + 2 + 1, "the rows, two prefetches, and the nested column"


class DossierSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    short_uid = serializers.UUIDField(source="uid", format="hex")

    class Meta:
        model = Dossier
        exclude = ()


def test_every_type_of_a_serializer(ada: User) -> None:
    Specimen.objects.create(name="full", made_at=NOON, **SPECIMEN)
    Specimen.objects.create(name="empty", made_at=NOON)

    class SpecimenSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        class Meta:
            model = Specimen
            fields = "__all__"

    kind = dataset_from_serializer(SpecimenSerializer, owner=EVERYBODY)
    assert not any(is_computed(kind).values())
    full, empty = export_rows(kind, ada)
    assert {name: full[name] for name in SPECIMEN} == SPECIMEN
    assert all(empty[name] is None for name in SPECIMEN)
    kind = dataset_from_serializer(DossierSerializer, owner="owner")
    assert types_of(kind) == {
        "id": ColumnType.INTEGER,
        "short_uid": ColumnType.TEXT,
        "title": ColumnType.TEXT,
        "level": ColumnType.CHOICE,
        "uid": ColumnType.UUID,
        "address": ColumnType.IP,
        "content": ColumnType.BINARY,
        "facts": ColumnType.JSON,
        "site": ColumnType.URL,
        "mail": ColumnType.EMAIL,
        "scan": ColumnType.FILE,
        "opened_at": ColumnType.DATETIME,
        "owner": ColumnType.INTEGER,
        "deputy": ColumnType.INTEGER,
        "readers": ColumnType.LIST,
    }
    assert [name for name, function in is_computed(kind).items() if function] == ["short_uid", "readers"]
    Dossier.objects.create(owner=ada, title="a", facts={"a": [1]}, uid=UUID(int=10)).readers.set([ada])
    [row] = rows_of(ada, kind)
    assert row["short_uid"] == f"{10:032x}"
    assert (row["facts"], row["readers"], row["owner"], row["level"]) == ({"a": [1]}, [ada.pk], ada.pk, 1)


def test_every_type_of_a_serializer_that_is_computed(me: None, ada: User) -> None:
    Specimen.objects.create(name="full", made_at=NOON, **SPECIMEN)
    Specimen.objects.create(name="empty", made_at=NOON)
    known = serializers.ModelSerializer.serializer_field_mapping
    far = {name: known[type(Specimen._meta.get_field(name))] for name in SPECIMEN if name != "number"}
    made = {name: field(source=f"me.{name}") for name, field in far.items()}
    made["number"] = serializers.DecimalField(source="me.number", max_digits=9, decimal_places=1)
    made["facts"] = serializers.DictField(source="me.__dict__", child=serializers.CharField())
    made["pair"] = serializers.ListField(source="me.text")
    made["uid"] = serializers.SerializerMethodField()
    made["blob"] = serializers.JSONField(source="me.text", binary=True)
    made["rounded"] = serializers.DecimalField(source="number", max_digits=9, decimal_places=0)
    made["local"] = serializers.DecimalField(source="number", max_digits=9, decimal_places=2, localize=True)
    methods = {"get_uid": lambda self, row: [1, Decimal(2)]}
    kind = dataset_from_serializer(
        type("FarSerializer", (serializers.Serializer,), made | methods),
        queryset=Specimen.objects.exclude(name="empty"),
        owner=EVERYBODY,
    )
    assert all(is_computed(kind).values())
    [full] = export_rows(kind, ada)
    assert {name: full[name] for name in SPECIMEN} == SPECIMEN
    assert json.loads(full["facts"])["name"] == "full"
    assert full["blob"] == '"a"'
    assert (full["pair"], full["uid"], full["local"], full["rounded"]) == ('["a"]', '[1, "2"]', "1.50", 2)


def test_objects_that_a_prefetch_holds_back_are_held_back(market: None, ada: User) -> None:
    """A table of all lines would show more than the serializer does."""
    few = Prefetch("lines", queryset=Line.objects.filter(quantity=1))
    kind = dataset_from_serializer(BasketSerializer, queryset=Basket.objects.prefetch_related(few), owner="owner")
    assert types_of(kind)["lines"] is ColumnType.JSON
    assert [[line["quantity"] for line in row["lines"]] for row in rows_of(ada, kind)][0] == [1, 1]

    class RecentSerializer(serializers.Serializer):  # type: ignore[misc]
        recent = LineSerializer(many=True)

    rows = Basket.objects.prefetch_related(Prefetch("lines", Line.objects.filter(quantity=2), to_attr="recent"))
    kind = dataset_from_serializer(RecentSerializer, queryset=rows, owner="owner")
    assert [[line["quantity"] for line in row["recent"]] for row in rows_of(ada, kind)][:3] == [[2], [], []]


class Mask(serializers.CharField):  # type: ignore[misc]
    def to_representation(self, value: Any) -> str:
        return "***"


class Year(serializers.DateTimeField):  # type: ignore[misc]
    def to_representation(self, value: Any) -> str:
        return cast("str", super().to_representation(value))[:4]


class Cents(serializers.DecimalField):  # type: ignore[misc]
    def to_representation(self, value: Any) -> int:
        return int(super().to_representation(value).replace(".", ""))


class LooseLineSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    class Meta:
        model = Line
        fields = ("title", "total")


class CustomSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    lines = LooseLineSerializer(many=True)
    owner = serializers.SerializerMethodField()
    number = Mask()
    shares = serializers.ListField(source="number", child=Mask())
    year = Year(source="placed_at")
    cents = Cents(source="sum", max_digits=9, decimal_places=2)

    class Meta:
        model = Basket
        fields = ("number", "lines", "owner", "shares", "year", "cents")

    def get_owner(self, basket: Basket) -> Any:
        return {"name": basket.owner.username}


def test_what_a_serializer_makes_itself_is_computed(market: None, ada: User) -> None:
    kind = dataset_from_serializer(CustomSerializer, queryset=ALL_BASKETS, owner="owner")
    assert all(is_computed(kind).values())
    assert list(types_of(kind).values()) == [
        ColumnType.TEXT, ColumnType.JSON, ColumnType.TEXT, ColumnType.LIST, ColumnType.TEXT, ColumnType.INTEGER,
    ]  # fmt: skip
    row = rows_of(ada, kind)[0]
    assert (row["number"], row["owner"], row["year"]) == ("***", '{"name": "ada"}', "2026")
    assert set(row["shares"]) == {"***"}
    assert [set(line) for line in row["lines"]] == [{"title", "total"}] * 4
    assert row["cents"] == sum(Decimal(line["total"]) for line in row["lines"]) * 100


class TagSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    class Meta:
        model = Tag
        fields = ("name",)


class BobsTagSerializer(TagSerializer):
    def get_fields(self) -> dict[str, Any]:
        found: dict[str, Any] = super().get_fields()
        return found if self.context["request"].user.username != "ada" else {}


class Masked(TagSerializer):
    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {"name": "***"}


class OnlyRed(serializers.ListSerializer):  # type: ignore[misc]
    def to_representation(self, data: Any) -> list[Any]:
        return cast("list[Any]", super().to_representation(data.filter(name="red")))


class OfRed(TagSerializer):
    class Meta:
        model = Tag
        fields = ("name",)
        list_serializer_class = OnlyRed


@pytest.mark.parametrize(("child", "shown"), [(Masked, ["***", "***"]), (OfRed, ["red"])])
def test_nested_serializers_with_ways_of_their_own_are_called(
    market: None, ada: User, child: Any, shown: list[str]
) -> None:
    body = {"tags": child(many=True)}
    kind = dataset_from_serializer(
        type("TaggedSerializer", (serializers.Serializer,), body), queryset=Basket.objects.all(), owner="owner"
    )
    assert types_of(kind) == {"tags": ColumnType.JSON}
    assert [tag["name"] for tag in rows_of(ada, kind)[2]["tags"]] == shown


def test_a_nested_serializer_may_read_all_rows_of_its_relation(market: None, ada: User, bob: User) -> None:
    class TaggedSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        labels = TagSerializer(source="tags.all", many=True)

        class Meta:
            model = Basket
            fields = ("labels",)

    kind = dataset_from_serializer(TaggedSerializer, owner="owner")
    assert [(column.name, column.label, column.type) for column in kind().columns] == [
        ("tags", "Labels", ColumnType.NESTED)
    ]
    assert rows_of(ada, kind)[1] == {"tags": [{"name": "red"}]}


def test_fields_that_depend_on_the_user_are_those_of_the_owner(market: None, ada: User, bob: User) -> None:
    """The database would read a field that the serializer withholds from the owner, so no column is plain."""

    class BobsSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        tags = BobsTagSerializer(many=True)

        class Meta:
            model = Basket
            fields = ("number", "placed_at", "tags")

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.context["request"].user.username == "ada":
                del self.fields["number"]

    class WithBobsTags(serializers.ModelSerializer):  # type: ignore[misc]
        tags = BobsTagSerializer(many=True)

        class Meta:
            model = Basket
            fields = ("tags",)

    for serializer in (BobsSerializer, WithBobsTags):
        kind = dataset_from_serializer(serializer, owner="owner")
        assert all(is_computed(kind).values())
        mine, theirs = (rows_of(user, kind)[1] for user in (ada, bob))
        assert (mine["tags"], theirs["tags"]) == ([{}], [{"name": "red"}])
        assert (mine.get("number"), theirs.get("number", "bob-1")) == (None, "bob-1")


def test_an_overridden_representation_makes_whole_rows(market: None, ada: User) -> None:
    calls = []

    class WholeSerializer(CustomSerializer):
        def to_representation(self, instance: Any) -> dict[str, Any]:
            calls.append(instance.pk)
            found = super().to_representation(instance)
            del found["owner"]
            return {**found, "number": 5, "more": found["cents"]}

    kind = dataset_from_serializer(WholeSerializer, queryset=ALL_BASKETS, owner="owner")
    row = export_rows(kind, ada)[1]
    assert list(row) == ["number", "lines", "owner", "shares", "year", "cents"]
    assert (row["number"], row["owner"], row["lines"]) == ("5", None, "[]")
    assert len(calls) == len(set(calls)) == 7, "once for each row"


def test_the_request_of_a_serializer_has_the_owner_and_makes_urls(
    market: None, ada: User, bob: User, settings: Any
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": "https://shop.example"}

    class LinkedSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        page = serializers.HyperlinkedIdentityField("admin:auth_user_change", lookup_url_kwarg="object_id")
        picture = serializers.SerializerMethodField()
        admin = serializers.SerializerMethodField()

        class Meta:
            model = Basket
            fields = ("page", "admin", "picture")

        def get_fields(self) -> dict[str, Any]:
            found: dict[str, Any] = super().get_fields()
            if self.context["request"].user.username == "bob":
                del found["admin"]
            return found

        def get_admin(self, basket: Basket) -> str:
            return cast("str", self.context["request"].build_absolute_uri("/admin/"))

        def get_picture(self, basket: Basket) -> str:
            return cast("str", self.context["request"].build_absolute_uri("https://cdn.example/1.png"))

    kind = dataset_from_serializer(LinkedSerializer, owner="owner")
    assert types_of(kind)["page"] is ColumnType.URL
    rows = export_rows(kind, ada)
    keys = Basket.objects.filter(owner=ada).order_by("pk").values_list("pk", flat=True)
    assert [row["page"] for row in rows] == [f"https://shop.example/admin/auth/user/{key}/change/" for key in keys]
    assert {(row["admin"], row["picture"]) for row in rows} == {
        ("https://shop.example/admin/", "https://cdn.example/1.png")
    }
    assert {row["admin"] for row in export_rows(kind, bob)} == {None}


def test_what_a_serializer_lacks_is_a_sentence(market: None, ada: User) -> None:
    class InAView(serializers.ModelSerializer):  # type: ignore[misc]
        where = serializers.SerializerMethodField()

        class Meta:
            model = Basket
            fields = ("where",)

        def get_where(self, basket: Basket) -> str:
            return str(self.context["view"])

    class Methodless(InAView):
        when = serializers.SerializerMethodField()

        class Meta:
            model = Basket
            fields = ("when",)

    class Early(InAView):
        def get_fields(self) -> dict[str, Any]:
            return {self.context["view"]: serializers.CharField()}

    with pytest.raises(DatasetFailed, match="“Where” could not be computed for the row"):
        export_rows(dataset_from_serializer(InAView, owner="owner"), ada)
    with pytest.raises(
        ImproperlyConfigured, match=r"Early\) cannot use the serializer \(KeyError\('view'\)\): correct it; its"
    ):
        dataset_from_serializer(Early, owner="owner")
    with pytest.raises(ImproperlyConfigured, match="'Methodless' object has no attribute 'get_when'"):
        dataset_from_serializer(Methodless, owner="owner")


# --- querysets ------------------------------------------------------------------------------------------------------


def test_values_are_columns_of_the_types_of_their_fields(shop: None, ada: User, bob: User) -> None:
    values = Order.objects.filter(note="").values(
        "number", "owner", "owner__customer__company", "status", year=ExtractYear("placed_at")
    )
    kind = dataset_from_queryset(
        values.annotate(double=F("total") * 2), owner="owner", key="some", date_field="placed_at"
    )
    assert types_of(kind) == {
        "number": ColumnType.TEXT,
        "owner": ColumnType.INTEGER,
        "owner__customer__company": ColumnType.TEXT,
        "status": ColumnType.CHOICE,
        "year": ColumnType.INTEGER,
        "double": ColumnType.DECIMAL,
    }
    assert labels_of(kind) == ["Number", "Owner", "Company", "Status", "Year", "Double"]
    assert rows_of(ada, kind)[1] == {
        "number": "000002", "owner": ada.pk, "owner__customer__company": "ada & Söhne", "status": "paid", "year": 2026,
        "double": 6,
    }  # fmt: skip
    assert_private(kind, ada, bob)
    assert len(kind().key_ranges(Selection(ada), 2)) == 2, "the rows are cut into parts"


@pytest.mark.parametrize("key", FORMATS)
def test_a_queryset_in_each_format(shop: None, ada: User, key: str) -> None:
    kind = dataset_from_queryset(Order.objects.values("number", "total"), owner="owner")
    names = ("number", "total") if key == "json" else ("Number", "Total")
    assert [(row[names[0]], Decimal(str(row[names[1]]))) for row in rows_of(ada, kind, key)] == [
        (f"00000{place}", Decimal(3)) for place in range(4)
    ]


def test_groups_are_those_of_the_owner(shop: None, ada: User) -> None:
    groups = Order.objects.values("status", month=TruncMonth("placed_at")).annotate(
        rows=Count("pk"), sum=Sum("total"), mean=Avg("quantity")
    )
    kind = dataset_from_queryset(groups, owner=["owner", "owner__groups__user"], exclude=["month"], label="Sales")
    assert types_of(kind) == {
        "status": ColumnType.CHOICE, "rows": ColumnType.INTEGER, "sum": ColumnType.DECIMAL, "mean": ColumnType.FLOAT,
    }  # fmt: skip
    assert rows_of(ada, kind) == [
        {"status": "cancelled", "rows": 1, "sum": 3, "mean": 2},
        {"status": "paid", "rows": 3, "sum": 9, "mean": 2},
    ]
    kind = dataset_from_queryset(Order.objects.values("city").annotate(rows=Count("pk")), owner="owner")
    assert rows_of(ada, kind) == [{"city": "Oslo", "rows": 4}]


def test_a_subclass_may_add_functions_of_instances(market: None, ada: User) -> None:
    for rows in (
        Basket.objects.values("number"),
        Basket.objects.annotate(n=Count("lines")).values("owner__username", "n"),
    ):

        class More(dataset_from_queryset(rows, owner="owner")):  # type: ignore[misc]
            columns: ClassVar[Sequence[Any]] = [
                "owner__username",
                "number",
                Column("sum", "Sum", ColumnType.DECIMAL, function=lambda basket: basket.sum),
            ]

        expected = Basket.objects.filter(owner=ada).order_by("pk")
        assert [(row["number"], row["sum"]) for row in rows_of(ada, More)] == [
            (each.number, each.sum) for each in expected
        ]
        assert queries_of(More, ada) == 1 + 7, "the rows, and the lines of each, which are not prefetched"


def test_groups_of_one_row_are_rows(market: None, ada: User, bob: User) -> None:
    for rows in (
        Basket.objects.annotate(lines_=Count("lines")).values("lines_", "number"),
        Basket.objects.values("pk", "number").annotate(lines_=Count("lines")),
    ):
        kind = dataset_from_queryset(rows, owner="owner")
        assert len(kind().key_ranges(Selection(ada), 2)) == 4
        assert [(row["number"], row["lines_"]) for row in rows_of(ada, kind)][:3] == [
            ("ada-0", 4),
            ("ada-1", 0),
            ("ada-2", 1),
        ]
        assert_private(kind, ada, bob)


def test_a_plain_queryset_has_all_fields_and_annotations_except_secrets(ada: User) -> None:
    for rows in (Dossier.objects.filter(level=1), Dossier.objects.values()):
        kind = dataset_from_queryset(rows.annotate(double=F("level") * 2), owner="owner", exclude=["content", "double"])
        assert [column.name for column in kind().columns] == [
            "id", "deputy_id", "title", "level", "uid", "address", "facts", "site", "mail", "scan", "opened_at",
        ]  # fmt: skip
    kind = dataset_from_queryset(Dossier.objects.annotate(double=F("level") * 2), owner="owner")
    Dossier.objects.create(owner=ada, title="a", level=2)
    assert [row["double"] for row in rows_of(ada, kind)] == [4]


def test_a_function_returns_the_rows_of_a_user(shop: None, ada: User, bob: User) -> None:
    kind = dataset_from_queryset(lambda user: Order.objects.filter(owner_id=user.pk).values("number"), label="Own")
    assert [row["number"] for row in rows_of(ada, kind)] == [f"00000{place}" for place in range(4)]
    assert_private(kind, ada, bob)
    assert [column.name for column in kind().columns] == ["number"]


def test_attributes_of_the_class(shop: None, ada: User) -> None:
    kind = dataset_from_queryset(Order.objects.values("number"), owner="owner")
    assert (kind.key, str(kind.label), kind.model) == ("order", "Orders", Order)
    assert (Orders.key, Baskets.key) == ("order", "basket")
    assert [row["number"] for row in export_rows(Orders, ada, params={"q": "Oslo"})] == [f"00000{n}" for n in range(4)]
    assert export_rows(Orders, ada, params={"q": "Rome"}) == []
    given = dataset_from_queryset(
        Order.objects.all(), owner="owner", key="mine", label="Mine", purpose="To sell.", in_everything=False
    )
    assert (given.key, given.label, given.purpose, given.in_everything) == ("mine", "Mine", "To sell.", False)


def test_a_dataset_may_be_subclassed(shop: None, ada: User) -> None:
    class Late(dataset_from_resource(OrderResource, owner="owner")):  # type: ignore[misc]
        columns: ClassVar[Sequence[Any]] = ["number", Column("copy", "Copy", source="number")]

        def queryset(self, user: Any) -> QuerySet[Order]:
            return cast("QuerySet[Order]", super().queryset(user)).filter(note="late")

    assert (Late.key, export_rows(Late, ada)) == ("late", [{"number": "000001", "copy": "000001"}])


def test_rows_of_teams(shop: None, ada: User, bob: User) -> None:
    kind = dataset_from_resource(OrderResource, owner="owner__customer", owner_model=Customer)
    assert faults_of(kind) == []
    bobs: Any = Customer.objects.get(user=bob)
    assert set(kind().queryset(bobs)) == set(Order.objects.filter(owner=bob))


# --- refusals -------------------------------------------------------------------------------------------------------


class WithArguments(OrderResource):
    def __init__(self, owner: User) -> None:
        super().__init__()


class WithoutModel(serializers.Serializer):  # type: ignore[misc]
    number = serializers.CharField()


ALL = Order.objects.all()
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no owner": (
        lambda: dataset_from_resource(OrderResource),
        r"dataset_from_resource\(OrderResource\) does not say whose rows it has: set owner",
    ),
    "no owner of a serializer": (lambda: dataset_from_serializer(BasketSerializer, queryset=ALL_BASKETS), "whose rows"),
    "no owner of a queryset": (lambda: dataset_from_queryset(ALL), r"from_queryset\(Order\) does not say whose rows"),
    "an unknown keyword": (
        lambda: dataset_from_queryset(ALL, owner="owner", lable="A"), "does not know 'lable'. Did you mean 'label'?",
    ),
    "columns": (lambda: dataset_from_queryset(ALL, owner="owner", columns=["number"]), "does not know 'columns'"),
    "an owner twice": (
        lambda: dataset_from_queryset(lambda user: ALL, owner="owner"), "an owner and a function as queryset",
    ),
    "a model as rows": (lambda: dataset_from_queryset(Order, owner="owner"), "has no queryset, but <class"),  # type: ignore[arg-type]
    "a slice": (lambda: dataset_from_queryset(ALL[:3], owner="owner"), "has a slice or a union"),
    "a union": (lambda: dataset_from_queryset(ALL.union(ALL), owner="owner"), "has a slice or a union"),
    "values_list": (lambda: dataset_from_queryset(ALL.values_list("number"), owner="owner"), r"use values\(\)"),
    "distinct values": (
        lambda: dataset_from_queryset(ALL.values("city").distinct(), owner="owner"), "have no key: group them",
    ),
    "extra": (lambda: dataset_from_queryset(ALL.extra(select={"a": "1"}), owner="owner"), "use annotate"),
    "an annotation of mixed types": (
        lambda: dataset_from_queryset(ALL.annotate(x=F("quantity") + F("number")), owner="owner"),
        "cannot tell the type of the annotation 'x'",
    ),
    "an unknown exclusion": (
        lambda: dataset_from_resource(OrderResource, owner="owner", exclude=["totel"]), "'totel'.* mean 'total'",
    ),
    "a function that needs a user": (
        lambda: dataset_from_queryset(lambda user: user.customer.orders.all()),
        r"cannot use queryset for a user that is not in the database .* return none\(\)",
    ),
    "no resource": (lambda: dataset_from_resource(Order, owner="owner"), "needs the class of a ModelResource"),
    "a resource without a model": (
        lambda: dataset_from_resource(resources.ModelResource, owner="owner"), "needs the class of a ModelResource",
    ),
    "a resource with arguments": (lambda: dataset_from_resource(WithArguments, owner="owner"), "without arguments"),
    "no serializer": (lambda: dataset_from_serializer(BasketSerializer(), owner="owner"), "the class of a Serializer"),
    "a serializer without rows": (
        lambda: dataset_from_serializer(WithoutModel, owner="owner"), r"set queryset, as in queryset=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_makes_no_dataset_is_refused_with_the_fix(wrong: str) -> None:
    make, words = REFUSED[wrong]
    with pytest.raises(ImproperlyConfigured, match=words):
        make()


class WrongResource(OrderResource):
    number = fields.Field(attribute="nummber")


class WrongSerializer(serializers.Serializer):  # type: ignore[misc]
    number = serializers.CharField(source="nummber")
    city = serializers.CharField(source="owner.citty")


def test_the_check_names_wrong_columns_and_owners() -> None:
    wrong = "Order has no field 'nummber'. Did you mean 'number'?"
    [fault] = faults_of(dataset_from_resource(WrongResource, owner="owner"))
    assert fault.endswith(f"The column 'number' cannot be read: {wrong}")
    first, second = faults_of(dataset_from_serializer(WrongSerializer, queryset=ALL, owner="owner"))
    assert wrong in first
    assert "User has no field 'citty'" in second
    [fault] = faults_of(dataset_from_queryset(ALL.values("number"), owner="ovner"))
    assert "owner is 'ovner', which cannot be followed: Order has no field 'ovner'. Did you mean 'owner'?" in fault
    [fault] = faults_of(dataset_from_queryset(Basket.objects.values("tags__name"), owner="owner"))
    assert "a row may occur more than once" in fault


def test_two_datasets_with_one_key_are_refused() -> None:
    """A registry takes two classes of one name for the same class, which a module defines again."""
    one, other = (dataset_from_queryset(ALL.values(name), owner="owner") for name in ("number", "total"))
    words = r"The dataset key 'order' of \S+from_queryset\(Order\)#\d+ is taken by \S+#\d+: choose another key"
    with registered(one), pytest.raises(ImproperlyConfigured, match=words):
        datasets.register(other)


def test_definitions_run_no_query(db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        for kind in (
            dataset_from_resource(OrderResource, owner="owner"),
            dataset_from_serializer(BasketSerializer, queryset=ALL_BASKETS, owner="owner"),
            dataset_from_queryset(
                lambda user: Order.objects.filter(owner_id=user.pk).values("status").annotate(n=Count("pk"))
            ),
        ):
            assert faults_of(kind) == []
    assert len(queries) == 0


@pytest.mark.parametrize(
    ("library", "package", "make"),
    [
        ("import_export", "django-import-export", partial(dataset_from_resource, OrderResource, owner="owner")),
        ("rest_framework", "djangorestframework", partial(dataset_from_serializer, BasketSerializer, owner="owner")),
    ],
)
def test_a_missing_library_is_named(library: str, package: str, make: Callable[[], Any], monkeypatch: Any) -> None:
    for module in ("resources", "serializers"):
        monkeypatch.delitem(sys.modules, f"exports.adapters.{module}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImproperlyConfigured, match=f"{package} is not installed: run `pip install {package}`."):
        make()
