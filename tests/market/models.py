"""A basket with several rows in other tables, for nested columns: by every kind of to-many relation."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class ShownTags(models.Manager["Tag"]):
    def get_queryset(self) -> models.QuerySet[Tag]:
        return super().get_queryset().filter(hidden=False)


class Tag(models.Model):
    """A tag, which the default manager does not return if it is hidden."""

    name = models.CharField(max_length=20)
    hidden = models.BooleanField(default=False)

    objects: ClassVar[ShownTags] = ShownTags()

    class Meta:
        app_label = "market"

    def __str__(self) -> str:
        return self.name


class Remark(models.Model):
    """A remark on a row of any model. The key is text, as it often is for generic relations."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.CharField(max_length=40)
    of = GenericForeignKey()
    text = models.CharField(max_length=200)

    class Meta:
        app_label = "market"

    def __str__(self) -> str:
        return self.text


class Basket(models.Model):
    """A row of one owner with several rows in other tables: a foreign key, a many-to-many and a generic relation."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    number = models.CharField(max_length=20)
    placed_at = models.DateTimeField()
    tags = models.ManyToManyField(Tag, related_name="baskets")
    remarks = GenericRelation(Remark)

    class Meta:
        app_label = "market"
        indexes: ClassVar = [models.Index(fields=["owner", "id"], name="basket_of_owner")]

    def __str__(self) -> str:
        return self.number

    @property
    def sum(self) -> Decimal | None:
        """The sum of all lines, whatever their currencies."""
        lines = self.lines.all()
        return Decimal(sum(line.price * line.quantity for line in lines)) if lines else None


class Line(models.Model):
    """One line of a basket."""

    basket = models.ForeignKey(Basket, on_delete=models.CASCADE, related_name="lines")
    title = models.CharField("what was bought", max_length=200)
    quantity = models.PositiveIntegerField(default=1)
    price = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3, default="EUR")
    bought_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "market"

    def __str__(self) -> str:
        return self.title

    @property
    def total(self) -> Decimal:
        return self.price * self.quantity
