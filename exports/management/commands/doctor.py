from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exports.upkeep.doctor import examine


class Command(BaseCommand):
    help = "Check this installation. Print what is wrong and how to fix it."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as declared by Django; the checks are one of the probes

    def handle(self, *args: Any, **options: Any) -> None:
        faults = 0
        for finding in examine():
            faults += not finding.ok
            mark = self.style.SUCCESS("ok   ") if finding.ok else self.style.ERROR("FAULT")
            self.stdout.write(f"{mark} {finding.subject}: {finding.text}")
        if faults:
            raise CommandError(f"Faults found: {faults}. See the lines above for how to fix them.")
