"""Admin lists for tables with millions of rows: bounded counts, filters with known values, indexed searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from exports.errors import ExportError

MOST = 10_000
"""Maximum number of rows that a list counts and shows."""
OWNERS = 1_000
"""Maximum number of owners that a search lists in its query, so that the index on the owner is used."""


class BoundedPaginator(Paginator[Any]):
    """Paginator that stops counting at MOST: counting millions of rows takes longer than the rest of the page."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by("-pk")[:MOST].count()


class Bounded(admin.ModelAdmin[Any]):
    """Admin with a bounded list, newest rows first. A message says when not all rows are listed."""

    ordering = ("-pk",)
    paginator = BoundedPaginator
    show_full_result_count = False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        shown = (getattr(answer, "context_data", None) or {}).get("cl")
        if shown is not None and shown.result_count >= MOST:
            words = _("Only the newest %(most)s rows are listed and counted. Filter or search to find older ones.")
            self.message_user(request, words % {"most": f"{MOST:,}"}, messages.INFO)
        return answer


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


def search(rows: QuerySet[Any], term: str, *, export: str = "") -> QuerySet[Any]:
    """Return the rows whose export ID starts with `term`, or whose owner's user name or address contains it.

    `export` is the lookup prefix of the export: "" or "export__".
    """
    people = get_user_model()._default_manager.filter(Q(username__icontains=term) | Q(email__icontains=term))
    owners: Any = list(people.values_list("pk", flat=True)[: OWNERS + 1])
    found = Q(owner__in=owners if len(owners) <= OWNERS else people.values("pk"))
    if span := _ids(term):
        found |= Q(**{f"{export}uuid__range": span})
    return rows.filter(found)


def _ids(text: str) -> tuple[UUID, UUID] | None:
    """Return the first and the last ID that start with `text`, or None if there can be no such ID."""
    digits = text.replace("-", "").lower()
    if not 0 < len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
