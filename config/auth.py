"""Authentication backends of this site."""

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

DEMO_PASSWORD = "demo"  # noqa: S105 - it is public on purpose, and refused outside the demo


class RefuseDemoPassword:
    """Reject the demo password outside the demo, even if demo users exist in the database.

    It does not authenticate users; the next backend does.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if not settings.DEMO and credentials.get("password") == DEMO_PASSWORD:
            raise PermissionDenied
