from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exports.checks import check_installation


class Command(BaseCommand):
    help = "Check this installation. Print what is wrong and how to fix it."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as declared by Django; the checks are one of the probes

    def handle(self, *args: Any, **options: Any) -> None:
        faults = sum(not ok for ok in self._report())
        if faults:
            raise CommandError(f"Faults found: {faults}. See the lines above for how to fix them.")

    def _report(self) -> Iterator[bool]:
        """Print a line for each finding. Yield whether it is fine."""
        if missing := check_installation():  # the probes cannot be imported without these apps
            for fault in missing:
                yield self._line("installation", False, f"{fault.msg} {fault.hint}")
            return
        from exports.upkeep.doctor import examine

        for finding in examine():
            yield self._line(finding.subject, finding.ok, finding.text)

    def _line(self, subject: str, ok: bool, text: str) -> bool:
        mark = self.style.SUCCESS("ok   ") if ok else self.style.ERROR("FAULT")
        self.stdout.write(f"{mark} {subject}: {text}")
        return ok
