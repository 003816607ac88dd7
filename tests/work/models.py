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
