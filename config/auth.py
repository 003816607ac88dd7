"""Sign-in rules of the site itself."""

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

DEMO_PASSWORD = "demo"  # noqa: S105 - it is public on purpose, and refused outside the demo


class RefuseDemoPassword:
    """Outside the demo nobody signs in with the demo's password, even where demo users were once seeded.

    It only ever refuses: who may sign in is the next backend's business.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if not settings.DEMO and credentials.get("password") == DEMO_PASSWORD:
            raise PermissionDenied
