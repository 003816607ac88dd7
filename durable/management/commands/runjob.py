"""`manage.py runjob`: run one job in this process, so that a debugger can follow it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from durable.jobs import Job, kinds
from durable.lease import LeaseLost


class Command(BaseCommand):
    help = "Run a job in this process, due or not, and raise its error. The outcome is recorded as in a worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", help="its class, as Thumbnail or gallery.Thumbnail")
        parser.add_argument("key", help="its primary key")
        parser.add_argument("--again", action="store_true", help="run a job that is done again")

    def handle(self, *args: Any, job: str, key: str, again: bool, **options: Any) -> None:
        kind = _kind(job)
        try:
            row = kind.objects.get(pk=key)
        except (kind.DoesNotExist, ValueError) as error:
            raise CommandError(f"There is no {kind._meta.verbose_name} {key}.") from error
        if row.state == Job.State.DONE and not again:
            raise CommandError(f"The {row} is done: run it again with --again.")
        try:
            result = row.run_here()
        except LeaseLost as error:
            raise CommandError(f"{error} Try again when it has ended, or cancel the job.") from error
        self.stdout.write(f"{row}: done {result}")


def _kind(name: str) -> type[Job]:
    """Return the class of jobs with this name, in any case of letters. Raises CommandError if there is not just one."""
    found = [kind for kind in kinds() if name.lower() in (kind._meta.label_lower, kind._meta.model_name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted(kind._meta.label for kind in found or kinds())) or "none"
    raise CommandError(f"{name!r} is not the name of one class of jobs. Choose one of: {known}.")
