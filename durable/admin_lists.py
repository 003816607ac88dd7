"""What the admin pages of leased work share: lists for tables with millions of rows, read-only permissions, columns."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from durable.conf import durable_settings
from durable.models import Work

MOST = 10_000
"""Maximum number of rows that a list counts and shows."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # these classes are not subscriptable at run time
    """Paginator that stops counting at MOST: counting millions of rows takes longer than the rest of the page."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by("-pk")[:MOST].count()


class Bounded(admin.ModelAdmin):  # type: ignore[type-arg]
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


class ReadOnly:
    """Mixin for models whose rows only the site writes: they can be viewed, but not added or changed."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Allow actions to users with the change permission, although rows cannot be edited."""
        opts = self.opts  # type: ignore[attr-defined]
        return request.user.has_perm(f"{opts.app_label}.{get_permission_codename('change', opts)}")


class SlowFilter(admin.SimpleListFilter):
    """Filter for work with a slow attempt, finished or still running."""

    title = _("speed")
    parameter_name = "slow"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("1", _("Slow (over %(seconds)s s)") % {"seconds": f"{durable_settings().slow_seconds:g}"})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(slow()) if self.value() else queryset


def slow() -> Q:
    """Return the condition for rows with an attempt longer than `slow_seconds`, finished or still running."""
    limit = durable_settings().slow_seconds
    return Q(longest_seconds__gt=limit) | Q(lease_until__gt=Now(), claimed_at__lt=Work.moment_in(-limit))


class WorkColumns:
    """Mixin with the columns that all leased work has."""

    @admin.display(description=_("attempts"), ordering="attempt")
    def attempts(self, obj: Work) -> str:
        return f"{obj.failures} / {obj.attempts_given()}" if obj.attempt else "0"

    @admin.display(description=_("worker seconds"), ordering="seconds")
    def worked(self, obj: Work) -> SafeString | str:
        if obj.longest_seconds > durable_settings().slow_seconds:
            return format_html("<strong>{} {}</strong>", f"{obj.seconds:.1f}", _("(slow)"))
        return f"{obj.seconds:.1f}"
