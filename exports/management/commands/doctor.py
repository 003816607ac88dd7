from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exports.upkeep.doctor import examine


class Command(BaseCommand):
    help = "Say what is wrong with this installation, and how to fix it."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own shape; they are one of the probes

    def handle(self, *args: Any, **options: Any) -> None:
        faults = 0
        for finding in examine():
            faults += not finding.well
            mark = self.style.SUCCESS("ok   ") if finding.well else self.style.ERROR("FAULT")
            self.stdout.write(f"{mark} {finding.subject}: {finding.words}")
        if faults:
            raise CommandError(f"{faults} of the lines above say what to fix.")
