"""Make the key of push messages."""

import base64
import secrets
from typing import Any

from django.core.management.base import BaseCommand

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256: private keys are the numbers below it."""


class Command(BaseCommand):
    help = "Make a key for push messages, and print the line for the CARRYALL setting. Browsers subscribe to one key."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own type

    def handle(self, *args: Any, **options: Any) -> None:
        number = 1 + secrets.randbelow(ORDER - 1)
        key = base64.urlsafe_b64encode(number.to_bytes(32)).decode().rstrip("=")
        self.stdout.write(f'"VAPID_PRIVATE_KEY": "{key}",')
