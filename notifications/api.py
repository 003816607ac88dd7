"""The one door for whoever has something to tell: rows in the caller's transaction, sending after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now
from django.utils.http import url_has_allowed_host_and_scheme

from durable.hints import publish_on_commit
from notifications.channels import Channel, channels
from notifications.errors import storable
from notifications.kinds import Kind, kinds
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
    """Tell `user` one fact, once: `dedupe_key` names it; telling it again returns the first notification.

    Everything is written in the caller's transaction, so the user is told if and only if the fact stands.
    `context` holds what JSON takes; `link` is a path on this site; `attachment` is the key of a stored file
    that goes with the e-mail. Returns None when the user wants none of this kind. Raises UnknownKind, and
    ValueError for a link to elsewhere or a key that stands for another user's notification.
    """
    chosen = kinds.get(kind)
    if link and not is_local(link):
        raise ValueError(f"The link {link!r} of a notification must be a path on this site, as /exports/.")
    with transaction.atomic():
        wanted = wanted_channels(user.pk, chosen)
        told = Notification.objects.filter(dedupe_key=dedupe_key).first()
        if told is None and wanted:
            fresh = {"user_id": user.pk, "kind": kind, "context": _storable(context or {})}
            fresh |= {"link": link, "attachment": attachment}
            told, created = Notification.objects.get_or_create(dedupe_key=dedupe_key, defaults=fresh)
            if created:
                _address(told, user, wanted)
    if told is not None and told.user_id != user.pk:
        raise ValueError(
            f"The key {dedupe_key!r} stands for a notification of another user: put the user into the key."
        )
    return told


def send_again(delivery: Delivery) -> bool:
    """Give a delivery that failed or was skipped new attempts. False when it was sent, or is being tried."""
    with transaction.atomic():
        opened = Delivery.reopen(delivery.pk)
        if opened:
            publish_on_commit([delivery])
    return opened


def is_local(link: str) -> bool:
    """A path on this site, and in no browser's reading anything else."""
    return link.startswith("/") and url_has_allowed_host_and_scheme(link, allowed_hosts=None)


def wanted_channels(user_pk: int, kind: Kind) -> list[Channel]:
    """The channels through which this user wants this kind."""
    said = dict(Preference.objects.filter(user_id=user_pk, kind=kind.key).values_list("channel", "enabled"))
    return [channel for channel in channels if said.get(channel.key, channel.key in kind.default_channels)]


def channel_faults() -> list[str]:
    """What keeps channels from working now, a sentence each."""
    return [fault for channel in channels if (fault := channel.fault())]


def _address(notification: Notification, user: AbstractBaseUser, wanted: list[Channel]) -> None:
    deliveries = [_delivery(notification, channel, user) for channel in wanted]
    Delivery.objects.bulk_create(deliveries)
    publish_on_commit([delivery for delivery in deliveries if delivery.state == Delivery.State.PENDING])


def _delivery(notification: Notification, channel: Channel, user: AbstractBaseUser) -> Delivery:
    delivery = Delivery(notification=notification, channel=channel.key)
    code, reason = _why_not(notification, channel, user)
    if reason:
        delivery.state, delivery.error_code, delivery.error_message = Delivery.State.SKIPPED, code, reason
        delivery.next_attempt_at = None
    elif channel.immediate:
        delivery.state, delivery.sent_at = Delivery.State.SENT, Now()
        delivery.next_attempt_at = None
    else:
        delivery.published_at = Now()
    return delivery


def _why_not(notification: Notification, channel: Channel, user: AbstractBaseUser) -> tuple[str, str]:
    """The code and the reason for which the user is not told through this channel; empty when there is none."""
    if reason := channel.unreachable(user):
        return "unreachable", reason
    pause = kinds.get(notification.kind).pause
    if pause and notification.link and not channel.immediate and _went_out(notification, channel, pause):
        return "too_soon", "The user was told of the same through this channel a short while ago."
    return "", ""


def _went_out(notification: Notification, channel: Channel, pause: timedelta) -> bool:
    """Whether this user was told of a fact of the same kind and link within `pause`, or is about to be."""
    alike = {"user_id": notification.user_id, "kind": notification.kind, "link": notification.link}
    lately = Notification.objects.filter(**alike, created_at__gt=Now() - pause).exclude(pk=notification.pk)
    told = Delivery.objects.filter(channel=channel.key, state__in=[Delivery.State.SENT, Delivery.State.PENDING])
    return told.filter(notification__in=lately).exists()


def _storable(context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: storable(value) if isinstance(value, str) else value for key, value in context.items()}
