"""Admin of notifications and deliveries: read-only, with an action to send deliveries again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from durable.admin_lists import ReadOnly
from durable.admin_users import WithUser
from notifications.api import send_again
from notifications.models import Delivery, Notification, PushSubscription, Webhook, WebhookAttempt


class OfUsers(ReadOnly):
    """Mixin for models whose rows only the site writes, and deletes with their users."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow deletion only with the user. The admin also calls this before it deletes a user."""
        here = request.resolver_match
        by_hand = here is None or (here.url_name or "").startswith("notifications_")
        return not by_hand and super().has_delete_permission(request, obj)  # type: ignore[misc]


class DeliveryInline(OfUsers, admin.TabularInline):  # type: ignore[type-arg]
    model = Delivery
    fields = ("channel", "target", "state", "sent_at", "attempt", "next_attempt_at", "error_message")
    readonly_fields = fields
    show_change_link = True
    extra = 0


@admin.register(Notification)
class NotificationAdmin(OfUsers, WithUser):
    user_field = "user"
    list_display = ("created_at", "kind", "user_name", "text", "read_at")
    list_display_links = ("created_at", "kind")
    list_filter = ("kind", "created_at", ("read_at", admin.EmptyFieldListFilter))
    search_fields = ("dedupe_key",)
    search_help_text = gettext_lazy("User name, e-mail address or key")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    inlines = (DeliveryInline,)


@admin.register(Delivery)
class DeliveryAdmin(OfUsers, WithUser):
    user_field = "notification__user"
    list_display = (
        "id",
        "kind",
        "user_name",
        "channel",
        "target",
        "state",
        "attempt",
        "next_attempt_at",
        "sent_at",
        "error_message",
    )
    list_filter = ("state", "channel", "notification__kind", "error_code", "notification__created_at")
    list_select_related = ("notification",)
    search_fields = ("notification__dedupe_key", "message_id")
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

    @admin.action(description=gettext_lazy("Send again (failed or skipped)"), permissions=["operate"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        chosen = list(queryset)
        report(self, request, len(chosen), sum(send_again(delivery) for delivery in chosen))


def report(page: admin.ModelAdmin[Any], request: HttpRequest, chosen: int, opened: int) -> None:
    """Show how many of the chosen deliveries will be sent again."""
    if opened:
        words = ngettext("%d delivery will be sent again.", "%d deliveries will be sent again.", opened) % opened
        page.message_user(request, words, messages.SUCCESS)
    if left := chosen - opened:
        page.message_user(request, _("%d not changed: already sent, or still pending.") % left, messages.WARNING)


@admin.register(Webhook)
class WebhookAdmin(WithUser):
    """Staff add the webhooks of the site here. Those of users can be switched on again and deleted, not changed."""

    user_field = "user"
    list_display = ("url", "owner", "failing_since", "ended_at", "end_reason", "log")
    list_filter = (("user", admin.EmptyFieldListFilter), ("ended_at", admin.EmptyFieldListFilter))
    search_fields = ("url",)
    search_help_text = gettext_lazy("URL, user name or e-mail address")
    ordering = ("-id",)
    actions = ("rotate", "resume")

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Return the URL alone for a new one."""
        return ("url",) if obj is None else ("url", *self.list_display[1:])

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> tuple[str, ...]:
        """Return what cannot be changed: the URL only if it is a user's."""
        fields = self.get_fields(request, obj)
        return fields if obj is not None and obj.user_id is not None else fields[1:]

    @admin.display(description=gettext_lazy("user"))
    def owner(self, webhook: Webhook) -> str:
        return _("the site") if webhook.user_id is None else str(webhook.user)

    @admin.display(description=gettext_lazy("requests"))
    def log(self, webhook: Webhook) -> str:
        page = reverse("admin:notifications_webhookattempt_changelist")
        return format_html('<a href="{}?webhook={}">{}</a>', page, webhook.pk, _("Log"))

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            self._show(request, obj)

    @admin.action(description=gettext_lazy("Make a new secret"), permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        for webhook in queryset.filter(user__isnull=True):  # a user makes the secret of a webhook of their own
            webhook.rotate()
            self._show(request, webhook)

    @admin.action(description=gettext_lazy("Switch on again"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        for webhook in queryset:
            webhook.resume()

    def _show(self, request: HttpRequest, webhook: Webhook) -> None:
        words = _("The secret of %(url)s, which is not shown again: %(secret)s")
        self.message_user(request, words % {"url": webhook.url, "secret": webhook.secret}, messages.WARNING)


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(OfUsers, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("at", "webhook", "delivery", "attempt", "status", "seconds", "answer")
    list_filter = ("status", "at")
    list_select_related = ("webhook", "delivery")
    search_fields = ("webhook__url",)
    ordering = ("-id",)
    actions = ("send_again",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "webhook" or super().lookup_allowed(lookup, value, request)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.change_delivery")

    @admin.action(description=gettext_lazy("Send again"), permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[WebhookAttempt]) -> None:
        """Send the deliveries of the chosen requests again, also accepted ones: their ID tells that they are copies."""
        chosen = {line.delivery_id: line.delivery for line in queryset.select_related("delivery")}
        report(self, request, len(chosen), sum(send_again(each, even_if_sent=True) for each in chosen.values()))


@admin.register(PushSubscription)
class PushSubscriptionAdmin(WithUser):
    """Browsers that get push messages: they can be deleted, and only the browser itself can subscribe again."""

    user_field = "user"
    list_display = ("created_at", "user_name", "browser")
    fields = ("user_name", "browser", "created_at")
    readonly_fields = fields
    search_help_text = gettext_lazy("User name or e-mail address")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
