"""The Celery tasks of jobs: one for each class, so that a message holds a primary key and nothing else."""

from __future__ import annotations

from durable import attempts
from durable.celery.tasks import durable_task
from durable.jobs import Job, kinds


def connect() -> None:
    """Make the task of each job class. Idempotent."""
    for kind in kinds():
        _make_task(kind)


def _make_task(kind: type[Job]) -> None:
    @durable_task(name=kind.task_name(), soft_time_limit=kind.soft_time_limit, time_limit=kind.time_limit)
    def run_job(job_pk: int) -> None:
        attempts.work(kind, job_pk)
