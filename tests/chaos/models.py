"""Jobs of a run: each accepted export has one, opened in the same transaction, whose effect is a row."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from django.db import models

from durable.jobs import Job
from durable.lease import Lease
from tests.chaos.lines import append
from tests.chaos.people import JOBS, home


class Imprint(Job):
    """Writes one effect for an export. A run kills processes more often than a site does, so it has many attempts."""

    queue = "bulk"
    max_attempts = 50

    export = models.UUIDField(unique=True)

    class Meta(Job.Meta):
        app_label = "chaos"

    def run(self, lease: Lease[Any]) -> dict[str, Any]:
        append(home() / JOBS, {"export": self.export, "attempt": lease.attempt})
        return {"pid": os.getpid()}

    def record(self, result: dict[str, Any]) -> None:
        Effect.objects.create(export=self.export)


class Effect(models.Model):
    """An effect of a job. Nothing but the job's own promise keeps a second one out."""

    export = models.UUIDField()

    objects: ClassVar[models.Manager[Effect]] = models.Manager()

    class Meta:
        app_label = "chaos"

    def __str__(self) -> str:
        return str(self.export)
