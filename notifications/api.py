"""The public API: create notifications in the caller's transaction, and send them after its commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.http import url_has_allowed_host_and_scheme

from durable.clock import Now
from durable.databases import atomic, storable
from durable.hints import publish_on_commit
from notifications.attachments import offer_attachments as offer_attachments  # noqa: PLC0414
from notifications.channels import Channel, channels
from notifications.kinds import DAILY, Kind, kinds
from notifications.links import inside
from notifications.models import Delivery, Notification, Preference


def notify(
    user: AbstractBaseUser,
    kind: str,
    *,
    dedupe_key: str,
    context: Mapping[str, Any] | None = None,
    link: str = "",
    attachment: str = "",
) -> Notification | None:
    """Notify `user` of one fact, identified by `dedupe_key`. A repeated call returns the first notification.

    All rows are written in the caller's transaction, so the user is notified if and only if it commits. `context` must
    be serialisable as JSON; `link` is a path on this site, as `reverse` returns it; `attachment` is the key of a stored
    file to send with the e-mail. Returns None if the user has disabled this kind. Raises UnknownKind, and ValueError
    for a link to another site or a key of another user's notification.
    """
    chosen = kinds.get(kind)
    if link and not is_local(link):
        raise ValueError(f"The link {link!r} of a notification must be a path on this site, such as /exports/.")
    with atomic(Notification):
        notification = Notification.objects.filter(dedupe_key=dedupe_key).first()
        if notification is None and (wanted := wanted_targets(user, chosen)):
            fields = {"user_id": user.pk, "kind": kind, "context": _storable(context or {})}
            fields |= {"link": inside(link), "attachment": attachment}
            notification, created = Notification.objects.get_or_create(dedupe_key=dedupe_key, defaults=fields)
            if created:
                _create_deliveries(notification, user, wanted)
    if notification is not None and notification.user_id != user.pk:
        raise ValueError(
            f"The key {dedupe_key!r} belongs to a notification of another user: include the user in the key."
        )
    return notification


def send_again(delivery: Delivery, *, even_if_sent: bool = False) -> bool:
    """Reopen a failed or skipped delivery with new attempts. Return False if it was sent or is pending.

    `even_if_sent` is for targets that recognise a copy by its message ID.
    """
    with atomic(Notification):
        opened = Delivery.reopen(delivery.pk, even_if_sent=even_if_sent)
        if opened and delivery.channel != DAILY:
            publish_on_commit([delivery])
    return opened


def is_local(link: str) -> bool:
    """Return whether a link is a path on this site, and no browser reads it as anything else."""
    return link.startswith("/") and url_has_allowed_host_and_scheme(link, allowed_hosts=None)


def wanted_targets(user: AbstractBaseUser, kind: Kind) -> list[tuple[Channel, str]]:
    """Return the targets of the channels that the user has enabled for this kind, or that are on by default.

    Preferences do not count for a kind that is required.
    """
    mine = Preference.objects.filter(user_id=user.pk, kind=kind.key)
    chosen = {} if kind.required else dict(mine.values_list("channel", "enabled"))
    possible = [channel for channel in channels if kind.allows(channel.key)]
    wanted = [channel for channel in possible if chosen.get(channel.key, channel.on_by_default(kind))]
    return [(channel, target) for channel in wanted for target in channel.targets(user)]


def channel_faults() -> list[str]:
    """Return the faults of the channels at present, as a sentence each."""
    return [fault for channel in channels if (fault := channel.fault())]


def _create_deliveries(notification: Notification, user: AbstractBaseUser, wanted: list[tuple[Channel, str]]) -> None:
    deliveries = [_delivery(notification, channel, target, user) for channel, target in wanted]
    Delivery.objects.bulk_create(deliveries)
    publish_on_commit([delivery for delivery in deliveries if delivery.published_at])


def _delivery(notification: Notification, channel: Channel, target: str, user: AbstractBaseUser) -> Delivery:
    delivery = Delivery(notification=notification, channel=channel.key, target=target)
    code, reason = _skip_reason(notification, channel, user)
    if reason:
        delivery.state, delivery.error_code, delivery.error_message = Delivery.State.SKIPPED, code, reason
        delivery.next_attempt_at = None
    elif channel.immediate:
        delivery.state, delivery.sent_at = Delivery.State.SENT, Now()
        delivery.next_attempt_at = None
    elif later := channel.due_at(user):
        delivery.next_attempt_at = later
    else:
        delivery.published_at = Now()
    return delivery


def _skip_reason(notification: Notification, channel: Channel, user: AbstractBaseUser) -> tuple[str, str]:
    """Return the code and the reason for skipping this channel, or two empty strings."""
    if reason := channel.unreachable(user):
        return "unreachable", reason
    pause = kinds.get(notification.kind).pause
    if pause and notification.link and channel.paced and _sent_recently(notification, channel, pause):
        return "too_soon", "The user was recently notified of the same through this channel."
    return "", ""


def _sent_recently(notification: Notification, channel: Channel, pause: timedelta) -> bool:
    """Return whether a notification of the same kind and link was sent to this user within `pause`, or is pending."""
    same = {"user_id": notification.user_id, "kind": notification.kind, "link": notification.link}
    recent = Notification.objects.filter(**same, created_at__gt=Now() - pause).exclude(pk=notification.pk)
    sent = Delivery.objects.filter(channel=channel.key, state__in=[Delivery.State.SENT, Delivery.State.PENDING])
    return sent.filter(notification__in=recent).exists()


def _storable(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: storable(value) if isinstance(value, str) else value for key, value in context.items()}
