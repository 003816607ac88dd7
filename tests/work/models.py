from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from durable.jobs import Job
from durable.lease import Lease
from durable.models import Work, WorkQuerySet


class Errand(Work):
    """The smallest concrete Work: one field that a worker writes."""

    done_by = models.CharField(max_length=50, blank=True, default="")

    objects: ClassVar[WorkQuerySet[Errand]] = WorkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "work"
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"errand {self.pk}"

    def hint(self) -> str:
        return "tests.run_errand"


class Mark(models.Model):
    """One effect of a job."""

    text = models.CharField(max_length=50)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "work"

    def __str__(self) -> str:
        return self.text


class Stamp(Job):
    """A job that takes `seconds`, does what `act` names, and makes one mark."""

    max_attempts = 3
    permanent = (LookupError,)

    number = models.PositiveIntegerField(unique=True)
    seconds = models.FloatField(default=0.0)
    act = models.CharField(max_length=50, blank=True, default="")

    class Meta(Job.Meta):
        app_label = "work"

    def run(self, lease: Lease[Any]) -> dict[str, Any]:
        time.sleep(self.seconds)
        result: dict[str, Any] = ACTS[self.act](self) if self.act else {"number": self.number}
        return result

    def record(self, result: dict[str, Any]) -> None:
        Mark.objects.create(text=f"stamp {self.number}")


ACTS: dict[str, Callable[[Any], Any]] = {}
"""Functions that stamps call, by name. A test adds its own."""


class Call(Job):
    """A call to a server that allows few. It makes one mark for each start."""

    queue = "bulk"
    rate_limit = "3/m"

    class Meta(Job.Meta):
        app_label = "work"

    def run(self, lease: Lease[Any]) -> None:
        Mark.objects.create(text=f"call {self.pk}")


class Parcel(Job):
    """A job that follows others."""

    number = models.PositiveIntegerField(unique=True)

    class Meta(Job.Meta):
        app_label = "work"

    def run(self, lease: Lease[Any]) -> None:
        return

    def record(self, result: dict[str, Any]) -> None:
        Mark.objects.create(text=f"parcel {self.number}")


class Nap(Job):
    """A job that takes too long. A deep one does not end when it is told to."""

    max_attempts = 1
    soft_time_limit = 1
    time_limit = 3

    deep = models.BooleanField()

    class Meta(Job.Meta):
        app_label = "work"

    def run(self, lease: Lease[Any]) -> None:
        try:
            time.sleep(30)
        except Exception:
            if not self.deep:
                raise
            time.sleep(30)


class Document(models.Model):
    """A file of its own, which other rows refer to."""

    file = models.FileField(max_length=500)

    class Meta:
        app_label = "work"

    def __str__(self) -> str:
        return self.file.name or ""


class Letter(models.Model):
    """A row with files: its own, an image, and that of another row."""

    # No constraint: these tables are made before those of the migrations.
    owner = models.ForeignKey("auth.User", on_delete=models.CASCADE, related_name="+", db_constraint=False)
    subject = models.CharField(max_length=50)
    sent_at = models.DateTimeField(null=True)
    scan = models.FileField(max_length=500, blank=True)
    photo = models.ImageField(max_length=500, blank=True)
    document = models.ForeignKey(Document, null=True, on_delete=models.CASCADE)

    class Meta:
        app_label = "work"

    def __str__(self) -> str:
        return self.subject


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


class Level(models.IntegerChoices):
    OPEN = 1, "Open"
    SECRET = 2, "Secret"


class Dossier(models.Model):
    """A row with a field of each type that columns can be inferred from, and several ways to its owner."""

    # Tables of this app are created before those of the users, so no constraint can refer to them.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="dossiers", db_constraint=False
    )
    deputy = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+", db_constraint=False
    )
    readers: models.ManyToManyField[models.Model, models.Model] = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="+", db_constraint=False
    )
    title = models.CharField("name of the dossier", max_length=50)
    level = models.IntegerField(choices=Level, default=Level.OPEN)
    uid = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    content = models.BinaryField(null=True)
    facts = models.JSONField(null=True)
    site = models.URLField(max_length=3_000)
    mail = models.EmailField()
    scan = models.FileField(upload_to="scans")
    opened_at = models.DateTimeField(null=True)
    password = models.CharField(max_length=50)

    class Meta:
        app_label = "work"
        verbose_name_plural = "dossiers of the house"

    def __str__(self) -> str:
        return self.title
