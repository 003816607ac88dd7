"""What the admin pages of exports share: search by owner and ID, and filters of known values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from durable.admin_lists import Bounded
from durable.admin_users import WithUser
from exports.errors import ExportError


def known(values: Callable[[], Iterable[str]]) -> type[admin.FieldListFilter]:
    """Return a filter that offers `values`. Django's own filter scans the whole table for the values that occur."""

    class Known(admin.AllValuesFieldListFilter):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.lookup_choices = sorted(set(values()))  # type: ignore[assignment]

    return Known


def error_codes() -> Iterable[str]:
    """Yield the codes of ExportError and of all its loaded subclasses."""
    left: list[type[ExportError]] = [ExportError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        yield kind.code


class OfExports(WithUser, Bounded):
    """Admin of exports, or of rows of exports. The search finds the start of an export's ID, and owners."""

    search_fields = ("export",)
    search_help_text = gettext_lazy("Start of an export ID, or part of the owner's user name or e-mail address")
    export_field = "export__"
    """Lookup prefix of the export."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = self.of_users(request, term)
        if span := _ids(term):
            found |= Q(**{f"{self.export_field}uuid__range": span})
        return queryset.filter(found), False


def _ids(text: str) -> tuple[UUID, UUID] | None:
    """Return the first and the last ID that start with `text`, or None if there can be no such ID."""
    digits = text.replace("-", "").lower()
    if not 0 < len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
