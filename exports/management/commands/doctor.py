from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exports.doctor import examine


class Command(BaseCommand):
    help = "Say what is wrong with this installation, and the mend."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own shape; they are one of the probes

    def handle(self, *args: Any, **options: Any) -> None:
        ill = 0
        for finding in examine():
            ill += not finding.well
            mark = self.style.SUCCESS("ok  ") if finding.well else self.style.ERROR("ILL ")
            self.stdout.write(f"{mark} {finding.subject}: {finding.words}")
        if ill:
            raise CommandError(f"{ill} of the findings above need a mend.")
