from __future__ import annotations

from typing import ClassVar

from django.db import models

from durable.models import Work, WorkQuerySet


class Errand(Work):
    """The smallest concrete Work: one field that a worker writes."""

    done_by = models.CharField(max_length=50, blank=True, default="")

    objects: ClassVar[WorkQuerySet[Errand]] = WorkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "work"

    def __str__(self) -> str:
        return f"errand {self.pk}"

    def hint(self) -> str:
        return "tests.run_errand"


class Specimen(models.Model):
    """A row with a column of every type, whose values a test expects in the exported file."""

    name = models.CharField(max_length=50)
    text = models.TextField(null=True)  # noqa: DJ001 - an export distinguishes NULL from ""
    whole = models.BigIntegerField(null=True)
    number = models.DecimalField(max_digits=40, decimal_places=10, null=True)
    truth = models.BooleanField(null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    ratio = models.FloatField(null=True)
    length = models.DurationField(null=True)
    opens = models.TimeField(null=True)
    made_at = models.DateTimeField()

    class Meta:
        app_label = "work"

    def __str__(self) -> str:
        return self.name
