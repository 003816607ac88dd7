"""`manage.py seed_demo`."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from exports.demo.seeding import seed


class Command(BaseCommand):
    help = "Seed the demo shop for the year to date. Changes nothing if it is already seeded."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("The demo shop is not for production. Unset ENVIRONMENT, or set ENVIRONMENT=demo.")
        begin = time.monotonic()
        counts = seed(timezone.now())
        if counts is None or options["verbosity"] == 0:
            return
        shops = ", ".join(f"{email} {orders:,}" for email, orders in counts.items())
        self.stdout.write(f"Demo orders in {time.monotonic() - begin:.1f} s: {shops}.")
