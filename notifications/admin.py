"""Admin of notifications and deliveries: read-only, with an action to send deliveries again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from notifications.api import send_again
from notifications.models import Delivery, Notification


class ReadOnly:
    """Mixin for models whose rows only the site writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow deletion only with the user. The admin also calls this before it deletes a user."""
        here = request.resolver_match
        by_hand = here is None or (here.url_name or "").startswith("notifications_")
        return not by_hand and super().has_delete_permission(request, obj)  # type: ignore[misc]


class DeliveryInline(ReadOnly, admin.TabularInline[Delivery, Notification]):
    model = Delivery
    fields = ("channel", "state", "sent_at", "attempt", "next_attempt_at", "error_message")
    readonly_fields = fields
    show_change_link = True
    extra = 0


@admin.register(Notification)
class NotificationAdmin(ReadOnly, admin.ModelAdmin[Notification]):
    list_display = ("created_at", "kind", "user", "text", "read_at")
    list_display_links = ("created_at", "kind")
    list_filter = ("kind", "created_at", ("read_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "dedupe_key")
    search_help_text = gettext_lazy("User name, e-mail address or key")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    inlines = (DeliveryInline,)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, admin.ModelAdmin[Delivery]):
    list_display = (
        "id",
        "kind",
        "user",
        "channel",
        "state",
        "attempt",
        "next_attempt_at",
        "sent_at",
        "error_message",
    )
    list_filter = ("state", "channel", "notification__kind", "error_code", "notification__created_at")
    list_select_related = ("notification__user",)
    search_fields = (
        "notification__user__username",
        "notification__user__email",
        "notification__dedupe_key",
        "message_id",
    )
    search_help_text = gettext_lazy("User name, e-mail address, key or message ID")
    ordering = ("-id",)
    readonly_fields = (
        "message_id",
        "attempt",
        "attempt_limit",
        "next_attempt_at",
        "lease_until",
        "leased_by",
        "claimed_at",
        "published_at",
        "seconds",
        "longest_seconds",
    )
    actions = ("send_again",)

    @admin.display(ordering="notification__kind")
    def kind(self, delivery: Delivery) -> str:
        return delivery.notification.get_kind_display()

    @admin.display(ordering="notification__user")
    def user(self, delivery: Delivery) -> str:
        return str(delivery.notification.user)

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Require the change permission: sending changes the row, although no form does."""
        return request.user.has_perm("notifications.change_delivery")

    @admin.action(description=gettext_lazy("Send again (failed or skipped)"), permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        chosen = list(queryset)
        opened = sum(send_again(delivery) for delivery in chosen)
        if opened:
            words = ngettext("%d delivery will be sent again.", "%d deliveries will be sent again.", opened) % opened
            self.message_user(request, words, messages.SUCCESS)
        if left := len(chosen) - opened:
            words = _("%d not changed: already sent, or still pending.") % left
            self.message_user(request, words, messages.WARNING)
