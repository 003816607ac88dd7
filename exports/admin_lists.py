"""The operator's lists over years of rows: counted up to a bound, filtered by what is known, searched by index."""

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
"""Rows that a list counts and can be leafed through."""
OWNERS = 1_000
"""Owners that a search names one by one, so that an index finds their rows."""


class BoundedPaginator(Paginator[Any]):
    """Stops counting at MOST: counting millions takes longer than everything else on the page."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by("-pk")[:MOST].count()


class Bounded(admin.ModelAdmin[Any]):
    """A list that may have millions of rows: newest first, and it says so when it does not show all of them."""

    ordering = ("-pk",)
    paginator = BoundedPaginator
    show_full_result_count = False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        shown = (getattr(answer, "context_data", None) or {}).get("cl")
        if shown is not None and shown.result_count >= MOST:
            words = _("There are more: %(most)s are listed and counted. A filter or a search finds the others.")
            self.message_user(request, words % {"most": f"{MOST:,}"}, messages.INFO)
        return answer


def known(values: Callable[[], Iterable[str]]) -> type[admin.FieldListFilter]:
    """A filter that offers these values, where Django would look through the whole table for those that occur."""

    class Known(admin.AllValuesFieldListFilter):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.lookup_choices = sorted(set(values()))  # type: ignore[assignment]

    return Known


def error_codes() -> Iterable[str]:
    """The codes of every error that is loaded."""
    left: list[type[ExportError]] = [ExportError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        yield kind.code


def search(rows: QuerySet[Any], term: str, *, export: str = "") -> QuerySet[Any]:
    """Rows whose export's id begins with `term`, or whose owner's name or address has it. `export`: "export__"."""
    people = get_user_model()._default_manager.filter(Q(username__icontains=term) | Q(email__icontains=term))
    owners: Any = list(people.values_list("pk", flat=True)[: OWNERS + 1])
    found = Q(owner__in=owners if len(owners) <= OWNERS else people.values("pk"))
    if span := _ids(term):
        found |= Q(**{f"{export}uuid__range": span})
    return rows.filter(found)


def _ids(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that begin so; None where none can."""
    digits = text.replace("-", "").lower()
    if not 0 < len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
