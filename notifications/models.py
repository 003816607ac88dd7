"""Models of notifications, their deliveries, and users' preferences. Related fields are constrained together.

The foreign keys have no separate index: each is the first column of an index or constraint that the queries need. The
labels are explicit so that the models can be imported if the app is not installed, which a system check reports.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from datetime import time, timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.template import TemplateDoesNotExist
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from durable import clock
from durable.clock import Now
from durable.databases import PrimaryQuerySet
from durable.fields import UserForeignKey, UTCDateTimeField
from durable.lease import LeaseLost
from durable.models import Work, WorkQuerySet
from notifications import kinds
from notifications.addresses import validate_url
from notifications.kinds import IN_APP
from notifications.rendering import one_line, render

M = TypeVar("M", bound=models.Model)
OLD_SECRET_LIVES = timedelta(hours=24)
"""Time for which requests to a webhook are also signed with its old secret."""


class NotificationQuerySet(PrimaryQuerySet["Notification"]):
    """Named queries for notifications."""

    def of(self, user_pk: Any) -> NotificationQuerySet:
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

    user = UserForeignKey(db_index=False)
    kind = models.CharField(max_length=50, choices=kinds.choices)
    dedupe_key = models.CharField(max_length=200, unique=True, help_text=_("The fact: it is told once."))
    context = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    link = models.CharField(max_length=500, blank=True, default="", help_text=_("A path on this site."))
    attachment = models.CharField(max_length=255, blank=True, default="", help_text=_("Key of a stored file."))
    created_at = UTCDateTimeField(db_default=Now(), editable=False)
    read_at = UTCDateTimeField(null=True, blank=True)

    objects: ClassVar[NotificationQuerySet] = NotificationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
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
    """One notification through one channel to one target: first the intent, then its result."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Skipped")

    max_attempts: ClassVar[int] = 8
    """About two hours of backoff: mail servers use greylisting, and may be restarted."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    channel = models.CharField(max_length=30)
    target = models.CharField(
        max_length=40, blank=True, default="", db_default="", help_text=_("One of several that the channel sends to.")
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    sent_at = UTCDateTimeField(null=True, blank=True)
    message_id = models.UUIDField(
        default=uuid.uuid4,
        editable=False,
        help_text=_("The same in each attempt."),
    )
    error_code = models.CharField(max_length=40, blank=True, default="")
    error_message = models.TextField(blank=True, default="", help_text=_("Of the last attempt."))

    objects: ClassVar[WorkQuerySet[Delivery]] = WorkQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["lease_until"], name="delivery_held", condition=Q(lease_until__isnull=False)),
            models.Index(fields=["sent_at"], name="delivery_sent", condition=Q(sent_at__isnull=False)),
            models.Index(fields=["claimed_at"], name="delivery_failed", condition=Q(state="failed")),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["notification", "channel", "target"], name="delivery_once_a_target"),
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
    def reopen(cls, pk: int, *, even_if_sent: bool = False) -> bool:
        """Reopen a failed or skipped delivery with new attempts. Return False if it is in another state."""
        states = [cls.State.FAILED, cls.State.SKIPPED, *([cls.State.SENT] if even_if_sent else [])]
        ended = cls.objects.filter(pk=pk, state__in=states)
        fresh = {"state": cls.State.PENDING, "sent_at": None, "error_code": "", "error_message": ""}
        return bool(ended.reopen(cls.max_attempts, **fresh))


class Preference(models.Model):
    """A user's choice for one kind and channel. Without a row, the default of the kind applies."""

    user = UserForeignKey(db_index=False)
    kind = models.CharField(max_length=50, choices=kinds.choices)
    channel = models.CharField(max_length=30)
    enabled = models.BooleanField()

    objects: ClassVar[PrimaryQuerySet[Preference]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("preference")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "kind", "channel"], name="preference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.channel}: {'on' if self.enabled else 'off'}"


class OwnQuerySet(PrimaryQuerySet[M]):
    """Named queries for rows of users."""

    def of(self, user_pk: Any) -> Self:
        return self.filter(user_id=user_pk)

    def targets(self) -> list[str]:
        """Return the rows as targets of a channel, oldest first."""
        return [str(pk) for pk in self.order_by("pk").values_list("pk", flat=True)]


class WebhookQuerySet(OwnQuerySet["Webhook"]):
    """Named queries for webhooks."""

    def of_site(self) -> WebhookQuerySet:
        return self.filter(user__isnull=True)

    def live(self) -> WebhookQuerySet:
        return self.filter(ended_at__isnull=True)

    def end(self, reason: str) -> int:
        """Switch live webhooks off. The sweep tells their owners. Return their number."""
        return self.live().update(ended_at=Now(), end_reason=reason, announced=False)


def new_secret() -> str:
    """Return a new secret in the form of Standard Webhooks, with 256 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Webhook(models.Model):
    """A URL of a user, or of the site, that gets a signed request for each notification."""

    user = UserForeignKey(null=True, blank=True, help_text=_("Empty for a webhook of the site, which gets everything."))
    url = models.CharField(_("URL"), max_length=500, validators=[validate_url])
    secret = models.CharField(max_length=100, default=new_secret, editable=False)
    old_secret = models.CharField(max_length=100, blank=True, default="", editable=False)
    old_secret_until = UTCDateTimeField(null=True, blank=True, editable=False)
    created_at = UTCDateTimeField(db_default=Now(), editable=False)
    failing_since = UTCDateTimeField(null=True, blank=True, editable=False)
    ended_at = UTCDateTimeField(null=True, blank=True, editable=False)
    end_reason = models.CharField(max_length=200, blank=True, default="", editable=False)
    announced = models.BooleanField(default=False, editable=False, help_text=_("The owner was told of its end."))

    objects: ClassVar[WebhookQuerySet] = WebhookQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("webhook")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(old_secret="", old_secret_until__isnull=True)
                | Q(old_secret__gt="", old_secret_until__isnull=False),
                name="webhook_old_secret_ends",
            ),
            models.CheckConstraint(
                condition=Q(end_reason="", ended_at__isnull=True) | Q(end_reason__gt="", ended_at__isnull=False),
                name="webhook_end_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.url

    def get_absolute_url(self) -> str:
        return reverse("notifications:webhook", args=[self.pk])

    def rotate(self) -> None:
        """Give it a new secret. The old one also signs, until OLD_SECRET_LIVES has passed."""
        self.old_secret, self.secret = self.secret, new_secret()
        until = Now() + OLD_SECRET_LIVES
        type(self).objects.filter(pk=self.pk).update(
            secret=self.secret, old_secret=self.old_secret, old_secret_until=until
        )

    def resume(self) -> None:
        """Switch it on again after its end."""
        fresh = {"ended_at": None, "end_reason": "", "failing_since": None}
        type(self).objects.filter(pk=self.pk).update(**fresh)

    def live_secrets(self) -> list[str]:
        """Return the secrets to sign with, the newest first."""
        old = self.old_secret_until is not None and self.old_secret_until > clock.now()
        return [self.secret, self.old_secret] if old else [self.secret]


class WebhookAttempt(models.Model):
    """One request to a webhook, and its answer: the log that its owner sees."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="+")
    attempt = models.PositiveIntegerField()
    at = UTCDateTimeField(db_default=Now())
    seconds = models.FloatField()
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text=_("Empty if there was no answer."))
    answer = models.CharField(max_length=500, blank=True, help_text=_("Its beginning, or why there was none."))

    objects: ClassVar[PrimaryQuerySet[WebhookAttempt]] = PrimaryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("request to a webhook")
        verbose_name_plural = _("requests to webhooks")
        indexes: ClassVar = [models.Index(fields=["webhook", "at"], name="webhook_attempt_log")]

    def __str__(self) -> str:
        return f"attempt {self.attempt} of delivery {self.delivery_id}: {self.status or self.answer}"

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class PushSubscription(models.Model):
    """A browser of a user that gets push messages, as its PushSubscription object describes it."""

    user = UserForeignKey()
    endpoint = models.CharField(max_length=1000, unique=True, validators=[validate_url])
    p256dh = models.CharField(max_length=100, help_text=_("Its public key."))
    auth = models.CharField(max_length=50)
    browser = models.CharField(max_length=100, blank=True, default="")
    created_at = UTCDateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[OwnQuerySet[PushSubscription]] = OwnQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("subscription to push messages")
        verbose_name_plural = _("subscriptions to push messages")

    def __str__(self) -> str:
        return f"{self.browser} of user {self.user_id}"


class ChatAddress(models.Model):
    """A chat or another service of a user, as a URL of Apprise."""

    user = UserForeignKey()
    url = models.CharField(max_length=500)
    created_at = UTCDateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[OwnQuerySet[ChatAddress]] = OwnQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("address of a chat")
        verbose_name_plural = _("addresses of chats")

    def __str__(self) -> str:
        return f"chat {self.pk} of user {self.user_id}"


class QuietHours(models.Model):
    """The time of day in which some channels do not disturb the user, from `start` to `end`, also over midnight."""

    user = UserForeignKey(db_index=False)
    start = models.TimeField()
    end = models.TimeField()

    objects: ClassVar[OwnQuerySet[QuietHours]] = OwnQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        app_label = "notifications"
        base_manager_name = "objects"
        verbose_name = _("quiet hours")
        verbose_name_plural = _("quiet hours")
        constraints: ClassVar = [models.UniqueConstraint(fields=["user"], name="quiet_hours_once")]

    def __str__(self) -> str:
        return f"{self.start:%H:%M} to {self.end:%H:%M}"

    def include(self, moment: time) -> bool:
        """Return whether this time of day, without a zone, is in the quiet hours."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end
