"""Models of notifications, their deliveries, and users' preferences. Related fields are constrained together.

The foreign keys have no separate index: each is the first column of an index or constraint that the queries need.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.template import TemplateDoesNotExist
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from durable.lease import LeaseLost
from durable.models import Work, WorkQuerySet
from notifications import kinds
from notifications.kinds import IN_APP
from notifications.rendering import one_line, render


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Named queries for notifications."""

    def of(self, user_pk: int) -> NotificationQuerySet:
        return self.filter(user_id=user_pk)

    def in_app(self) -> NotificationQuerySet:
        """Notifications that the site shows."""
        sent = Delivery.objects.filter(channel=IN_APP, state=Delivery.State.SENT)
        return self.filter(Exists(sent.filter(notification=OuterRef("pk"))))

    def unread(self) -> NotificationQuerySet:
        return self.filter(read_at__isnull=True)

    def recent_first(self) -> NotificationQuerySet:
        return self.order_by("-pk")

    def mark_read(self) -> int:
        """Mark unread notifications as read now. Return their number."""
        return self.unread().update(read_at=Now())


class Notification(models.Model):
    """One fact that a user is notified of once, through any number of channels."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications", db_index=False
    )
    kind = models.CharField(max_length=50, choices=kinds.choices)
    dedupe_key = models.CharField(max_length=200, unique=True, help_text=_("The fact: it is told once."))
    context = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    link = models.CharField(max_length=500, blank=True, default="", help_text=_("A path on this site."))
    attachment = models.CharField(max_length=255, blank=True, default="", help_text=_("Key of a stored file."))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    read_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[NotificationQuerySet] = NotificationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("notification")
        indexes: ClassVar = [
            models.Index(fields=["user", "-id"], name="notification_of_user"),
            models.Index(fields=["user"], name="notification_unread", condition=Q(read_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for user {self.user_id}"

    def get_absolute_url(self) -> str:
        """Return the URL that marks it as read and redirects to its link."""
        return reverse("notifications:open", args=[self.pk])

    @property
    def text(self) -> str:
        """The sentence that the site shows, as plain text: escape it in HTML."""
        try:
            return one_line(render(self.kind, "in_app.txt", self.context))
        except TemplateDoesNotExist:  # a kind that was removed
            return self.get_kind_display()


class Delivery(Work):
    """One notification through one channel: first the intent, then its result."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Skipped")

    max_attempts: ClassVar[int] = 8
    """About two hours of backoff: mail servers use greylisting, and may be restarted."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    channel = models.CharField(max_length=30)
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    sent_at = models.DateTimeField(null=True, blank=True)
    message_id = models.UUIDField(
        default=uuid.uuid4,
        editable=False,
        help_text=_("The same in each attempt."),
    )
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.TextField(blank=True, default="", help_text=_("Of the last attempt."))

    objects: ClassVar[WorkQuerySet[Delivery]] = WorkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["lease_until"], name="delivery_held", condition=Q(lease_until__isnull=False)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["notification", "channel"], name="delivery_once_a_channel"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "sent", "failed", "skipped"]), name="delivery_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="delivery_sent_has_moment",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["failed", "skipped"], error_code__gt="", error_message__gt="")
                | Q(state="sent", error_code="", error_message="")
                | Q(state="pending"),
                name="delivery_failed_has_error",
            ),
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False)
                | (~Q(state="pending") & Q(next_attempt_at__isnull=True)),
                name="delivery_pending_has_next_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} delivery {self.pk} of notification {self.notification_id}"

    def hint(self) -> str:
        return "notifications.tasks.deliver_notification"

    def hold(self) -> None:
        """Renew the lease immediately before sending. Raises LeaseLost if this attempt no longer holds it.

        A process that was suspended for longer than its lease must not send what another process has sent.
        """
        if not self.held_rows().update(lease_until=self.lease_end()):
            raise LeaseLost

    @classmethod
    def reopen(cls, pk: int) -> bool:
        """Reopen a failed or skipped delivery with new attempts. Return False if it is in another state."""
        ended = cls.objects.filter(pk=pk, state__in=[cls.State.FAILED, cls.State.SKIPPED])
        return bool(ended.reopen(cls.max_attempts, state=cls.State.PENDING, error_code="", error_message=""))


class Preference(models.Model):
    """A user's choice for one kind and channel. Without a row, the default of the kind applies."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=50, choices=kinds.choices)
    channel = models.CharField(max_length=30)
    enabled = models.BooleanField()

    class Meta:
        verbose_name = _("preference")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "kind", "channel"], name="preference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.channel}: {'on' if self.enabled else 'off'}"
