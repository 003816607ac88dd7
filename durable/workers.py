"""The workers that are alive. Each writes a row every few seconds, which tells all processes how many tasks can run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.db import models

from durable.clock import Now
from durable.conf import durable_settings
from durable.databases import PrimaryQuerySet
from durable.fields import UTCDateTimeField

KEPT = timedelta(days=1)
"""Age at which the row of a worker that did not shut down properly is deleted."""


class WorkerQuerySet(PrimaryQuerySet["Worker"]):
    """Named queries for workers."""

    def alive(self) -> WorkerQuerySet:
        """Workers that have written their row within the duration of a lease."""
        return self.filter(seen_at__gt=Now() - timedelta(seconds=durable_settings().lease_seconds))


class Worker(models.Model):
    """One worker: the queues that it serves, and how many tasks it runs at once."""

    name = models.CharField(max_length=255, unique=True)
    queues = models.JSONField(default=list)
    processes = models.PositiveIntegerField(help_text="Tasks that it runs at once.")
    version = models.CharField(max_length=50, blank=True)
    started_at = UTCDateTimeField(db_default=Now())
    seen_at = UTCDateTimeField(db_default=Now())

    objects: ClassVar[WorkerQuerySet] = WorkerQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "durable"  # this module can be imported if the app is not installed, which a system check reports
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.name


@dataclass
class Heart:
    """Writes the row of the worker in this process."""

    name: str
    queues: Collection[str]
    version: str
    processes: Callable[[], int]
    _begun: bool = False

    def beat(self) -> int:
        """Write the row. Return 0, because the sweep reports only what it repairs."""
        alive = {"queues": sorted(self.queues), "processes": self.processes(), "version": self.version}
        alive["seen_at"] = Now()
        if not (self._begun and Worker.objects.filter(name=self.name).update(**alive)):
            Worker.objects.update_or_create(name=self.name, defaults=alive | {"started_at": Now()})
            Worker.objects.filter(seen_at__lt=Now() - KEPT).delete()
            self._begun = True
        return 0

    def stop(self) -> int:
        """Delete the row, so that nothing is planned for this worker any more. Return 0."""
        Worker.objects.filter(name=self.name).delete()
        return 0


def processes_of(queues: Collection[str]) -> list[int]:
    """Return for each queue how many tasks the workers that are alive can run at once."""
    alive = list(Worker.objects.alive().values_list("queues", "processes"))
    return [sum(processes for served, processes in alive if queue in served) for queue in queues]
