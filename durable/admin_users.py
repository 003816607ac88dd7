"""Admin of rows that have a user, who may be in another database: users are loaded and searched apart, never joined."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from durable import users

MOST = 1_000
"""Maximum number of users that a search lists in its query, so that the index on the user is used."""


class WithUser(admin.ModelAdmin):  # type: ignore[type-arg]  # not subscriptable at run time
    """Lists and searches rows by their user. `user_field` is the path to the UserForeignKey."""

    user_field: ClassVar[str] = "owner"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related(self.user_field)

    @admin.display(description=gettext_lazy("user"))
    def user_name(self, row: Any) -> str:
        """The user's name; empty if the user no longer exists. A foreign key in `list_display` would be joined."""
        for name in self.user_field.split("__"):
            row = getattr(row, name)
        return str(row)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search the fields of `search_fields`, and the users' names and e-mail addresses."""
        rows, duplicates = super().get_search_results(request, queryset, search_term)
        if term := search_term.strip():
            rows |= queryset.filter(self.of_users(request, term))
        return rows, duplicates

    def of_users(self, request: HttpRequest, term: str) -> Q:
        """Return the condition for rows of users whose name or address contains `term`. A message says if it cuts."""
        found = find_users(term, MOST + 1)
        if len(found) > MOST:
            words = _("More than %(most)s users match. Only the rows of the first %(most)s are listed: type more.")
            self.message_user(request, words % {"most": f"{MOST:,}"}, messages.WARNING)
        return Q(**{f"{self.user_field}__in": found[:MOST]})


def find_users(term: str, limit: int) -> list[Any]:
    """Return the primary keys of up to `limit` users whose user name or e-mail address contains `term`."""
    matching = Q(pk__in=())
    for name in users.search_fields():
        matching |= Q(**{f"{name}__icontains": term})
    people = get_user_model()._default_manager.filter(matching)
    return list(people.order_by("pk").values_list("pk", flat=True)[:limit])
