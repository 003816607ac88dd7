"""A dataset with nested columns for every kind of relation, and rows for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, User
from django.db.models import F, QuerySet

from exports.datasets import Column, ColumnType, Dataset, Nested
from tests.market.models import Basket, Line, Remark, Tag

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NESTED: Sequence[Nested] = (
    Nested(
        "lines",
        [
            "title",
            Column("quantity", "Quantity", ColumnType.INTEGER, total=True),
            Column("price", "Price", ColumnType.MONEY, currency=F("currency")),
            "bought_at",
        ],
    ),
    Nested("tags", ["name"]),
    Nested("remarks", ["text"], label="What was said"),
)


class Baskets(Dataset):
    key = "baskets"
    label = "Baskets"
    date_field = "placed_at"
    columns: ClassVar[Sequence[Column]] = (
        Column("number", "Number"),
        Column("placed_at", "Placed", ColumnType.DATETIME),
        *NESTED,
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Basket]:
        return Basket.objects.filter(owner_id=user.pk)


def baskets(*owners: User, count: int = 7, lines: Sequence[int] = (3, 0, 1)) -> None:
    """Create `count` baskets for each owner, one a day, whose rows alternate with those of the other owners.

    `lines` are the numbers of lines of the baskets, repeated. The first basket of each owner gets another line at last,
    so that the lines are not in the order of the baskets.
    """
    tags = [Tag.objects.create(name=name) for name in ("red", "blue")]
    tags.append(Tag.objects.create(name="secret", hidden=True))
    made: list[Basket] = []
    for number in range(count):
        for owner in owners:
            day = START + timedelta(number)
            basket = Basket.objects.create(owner=owner, number=f"{owner}-{number}", placed_at=day)
            fill(basket, lines[number % len(lines)])
            basket.tags.set(tags[: number % 4])
            for text in range(number % 2):
                Remark.objects.create(of=basket, text=f"remark {text} on {basket}")
            Remark.objects.create(of=owner, text="not on a basket")
            made.append(basket)
    for basket in made[: len(owners)]:
        fill(basket, 1)


def fill(basket: Basket, count: int) -> None:
    """Add `count` lines to a basket."""
    Line.objects.bulk_create(
        Line(
            basket=basket,
            title=f'line {place} of {basket}, "<&>"',
            quantity=place + 1,
            price=Decimal(place * 7 + 1) / 4,
            currency=("EUR", "JPY")[place % 2],
            bought_at=None if place == 1 else START,
        )
        for place in range(count)
    )
